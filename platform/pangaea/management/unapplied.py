"""Django's warning about unapplied migrations, which by itself looks at one database and expects every table there."""

from django.core.management.base import BaseCommand

from pangaea.databases import aliases, migration_state


class WarnsOfEveryAlias(BaseCommand):
    """A command that says so when migrations are missing behind any alias."""

    def check_migrations(self) -> None:
        """Warn, and go on."""
        if waiting := [alias for alias in aliases.installed() if migration_state.unapplied(alias)]:
            self.stdout.write(
                self.style.NOTICE(f"\nUnapplied migrations for {', '.join(waiting)}. Run 'python manage.py migrate'.\n")
            )
