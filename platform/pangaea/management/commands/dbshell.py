"""Django's `dbshell`, in the schema and with the role of the alias."""

from typing import Any

from django.core.management.base import CommandError
from django.core.management.commands import dbshell
from django.db import DatabaseError


class Command(dbshell.Command):
    """Fails if a connection of the alias is refused (see `pangaea.databases.engines.postgresql.isolation`)."""

    def handle(self, **options: Any) -> None:
        """Run the client."""
        try:
            super().handle(**options)
        except DatabaseError as error:
            raise CommandError(str(error).strip()) from error
