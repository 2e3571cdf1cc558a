import os
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from pangaea.configuration.profiles import PROFILES
from pangaea.configuration.reading import Configuration, Setting

PACKAGE = "pangaea.settings"


class Command(BaseCommand):
    """Reads the environment itself, because manage.py runs it without Django's settings, which may refuse to load."""

    help = "Show or check the configuration of this environment."
    requires_system_checks = []

    def run_from_argv(self, argv: list[str]) -> None:
        """Run as Django does. Exit with status 1 if there is no settings module: `handle` has printed the problem."""
        try:
            super().run_from_argv(argv)
        except ModuleNotFoundError:
            raise SystemExit(1) from None

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        actions.add_parser("show", help="print every value and its source, secrets redacted")
        actions.add_parser("check", help="name everything missing, malformed or unsafe; exit status 1 if anything is")

    def handle(self, *_args: Any, **options: Any) -> None:
        package, _, name = os.environ.get("DJANGO_SETTINGS_MODULE", "").rpartition(".")
        if package != PACKAGE or name not in PROFILES:
            known = ", ".join(f"{PACKAGE}.{each}" for each in PROFILES)
            raise CommandError(f"DJANGO_SETTINGS_MODULE names no profile of Pangaea; set it to one of {known}.")
        configuration = Configuration(PROFILES[name], os.environ)
        self.stderr.writelines(f"note: {remark}\n" for remark in configuration.remarks)
        if options["action"] == "show":
            self._show(configuration.settings)
            self.stderr.writelines(f"wrong: {problem}\n" for problem in configuration.problems)
        elif configuration.problems:
            raise CommandError(
                f"The profile {name!r} cannot start:\n  - " + "\n  - ".join(configuration.problems), returncode=1
            )
        else:
            self.stdout.write(f"The profile {name!r} can start, with {', '.join(configuration.labels)}.")

    def _show(self, settings: list[Setting]) -> None:
        rows = [("VARIABLE", "VALUE", "SOURCE"), *((each.variable, each.value, each.source) for each in settings)]
        first, second = (max(len(row[column]) for row in rows) for column in (0, 1))
        for row in rows:
            self.stdout.write(f"{row[0]:{first}}  {row[1]:{second}}  {row[2]}")
