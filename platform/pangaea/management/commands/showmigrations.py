"""Django's `showmigrations`, for every alias."""

from typing import Any

from django.apps import apps
from django.core.management.base import CommandError, CommandParser
from django.core.management.commands import showmigrations

from pangaea.databases import aliases


class Command(showmigrations.Command):
    """Without arguments it lists every alias with the apps whose tables are there."""

    def add_arguments(self, parser: CommandParser) -> None:
        """Add Django's arguments, with no alias chosen by default."""
        super().add_arguments(parser)
        parser.set_defaults(database=None)

    def handle(self, *args: Any, **options: Any) -> None:
        """List alias by alias."""
        chosen, wanted = options.pop("database"), options.pop("app_label")
        unknown = sorted(set(wanted) - set(apps.app_configs))
        if unknown:
            raise CommandError(f"No installed app with label {', '.join(map(repr, unknown))}.")
        for alias in [chosen] if chosen else aliases.installed():
            labels = [label for label in aliases.apps_of(alias) if not wanted or label in wanted]
            if labels:
                self.stdout.write(self.style.MIGRATE_HEADING(f"[{alias}]"))
                super().handle(*args, **options, database=alias, app_label=labels)
