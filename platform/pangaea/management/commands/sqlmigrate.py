"""Django's `sqlmigrate`, which fails for an app whose tables are in another database instead of printing no-ops."""

from typing import Any

from django.core.management.commands import sqlmigrate

from pangaea.management.placement import refuse_elsewhere


class Command(sqlmigrate.Command):
    """Django's command with that check."""

    def handle(self, *args: Any, **options: Any) -> str:
        """Return the SQL."""
        refuse_elsewhere(options["database"], [options["app_label"]])
        return str(super().handle(*args, **options))
