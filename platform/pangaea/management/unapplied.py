"""Django's warning about unapplied migrations, for all aliases: Django itself checks one database only."""

from django.core.management.base import BaseCommand

from pangaea.databases import aliases, migration_state


class WarnsOfEveryAlias(BaseCommand):
    """A command that warns of unapplied migrations of any alias."""

    def check_migrations(self) -> None:
        """Print the aliases with unapplied migrations, if there are any."""
        if waiting := [alias for alias in aliases.installed() if migration_state.unapplied(alias)]:
            self.stdout.write(
                self.style.NOTICE(f"\nUnapplied migrations for {', '.join(waiting)}. Run 'python manage.py migrate'.\n")
            )
