"""Django's warning about unapplied migrations, for all aliases: Django itself checks one database only."""

from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand

from pangaea.databases import aliases, migration_state
from pangaea.management.placement import refuse_elsewhere


class WarnsOfEveryAlias(BaseCommand):
    """A command that warns of unapplied migrations of any alias."""

    def check_migrations(self) -> None:
        """Print the aliases with unapplied migrations, if there are any."""
        if waiting := [alias for alias in aliases.installed() if migration_state.unapplied(alias)]:
            self.stdout.write(
                self.style.NOTICE(f"\nUnapplied migrations for {', '.join(waiting)}. Run 'python manage.py migrate'.\n")
            )


class AboutOperators(WarnsOfEveryAlias):
    """Such a command that writes an operator: it fails for a `--database` without operators."""

    def handle(self, *args: Any, **options: Any) -> str | None:
        """Run the command."""
        refuse_elsewhere(options["database"], [get_user_model()._meta.app_label])
        return super().handle(*args, **options)
