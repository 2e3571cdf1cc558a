"""Django's `migrate`, for every alias: each gets its apps' tables, and on PostgreSQL first its schema and role."""

import sys
from typing import Any

from django.core.checks.registry import registry
from django.core.management.base import CommandError, CommandParser
from django.core.management.commands import migrate
from django.db import OperationalError, connections
from django.db.migrations.loader import MigrationLoader

from pangaea.change_capture import triggers
from pangaea.checks import DATABASES
from pangaea.databases import aliases
from pangaea.databases.grants import provisioning
from pangaea.management.placement import elsewhere


class Command(migrate.Command):
    """Without arguments it migrates all aliases. `--database` selects one, an app's label those with its tables."""

    def add_arguments(self, parser: CommandParser) -> None:
        """Add Django's arguments, with no alias chosen by default."""
        super().add_arguments(parser)
        parser.set_defaults(database=None)

    def get_check_kwargs(self, options: dict[str, Any]) -> Any:
        """Check the chosen database, or all, but not what this command verifies or creates itself."""
        chosen = options["database"]
        return super().get_check_kwargs(options) | {
            "databases": [chosen] if chosen else aliases.installed(),
            "tags": sorted(registry.tags_available() - {triggers.TAG, DATABASES}),
        }

    def handle(self, *args: Any, **options: Any) -> None:
        """Migrate alias by alias."""
        chosen, app = options.pop("database"), options.pop("app_label")
        options["skip_checks"] = True
        wanted = [
            alias for alias in ([chosen] if chosen else aliases.installed()) if not app or app in aliases.apps_of(alias)
        ]
        if not wanted:
            raise CommandError(elsewhere(app, chosen))
        try:
            provisioning.verify(wanted)
        except OperationalError as error:
            raise CommandError(str(error).strip()) from error
        if options["check_unapplied"] or options["plan"]:
            self._report_unprovisioned(wanted, fail=options["check_unapplied"])
        else:
            provisioning.provision(wanted)
        for alias in wanted:
            for label in [app] if app else _migrated_apps(alias):
                if options["verbosity"]:
                    self.stdout.write(self.style.MIGRATE_HEADING(f"{alias}: {label}"))
                super().handle(*args, **options, database=alias, app_label=label)

    def _report_unprovisioned(self, wanted: list[str], *, fail: bool) -> None:
        """Print the statements that must first create schemas and roles, and remove the aliases that need them.

        With `fail`, exit with status 1 if there are any.
        """
        lacking = provisioning.unprovisioned(wanted)
        for alias, statements in lacking.items():
            wanted.remove(alias)
            self.stdout.write(self.style.MIGRATE_HEADING(f"{alias}: everything, after"))
            self.stdout.writelines(f"  {statement};" for statement in statements)
        if lacking and fail:
            sys.exit(1)


def _migrated_apps(alias: str) -> list[str]:
    migrated = MigrationLoader(connections[alias], ignore_no_migrations=True).migrated_apps
    return [label for label in aliases.apps_of(alias) if label in migrated]
