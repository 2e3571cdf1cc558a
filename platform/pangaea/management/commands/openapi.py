from argparse import ArgumentParser
from datetime import UTC, date, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from pangaea import errors, modules
from pangaea.api.releases import checking
from pangaea.api.releases.history import History


class Command(BaseCommand):
    help = "The released documents of the modules' APIs: `release` freezes one, `check` compares the code with all."

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        release = actions.add_parser(
            "release", help="freeze what changed since the last release; refuse what breaks an earlier one"
        )
        release.add_argument("--version", metavar="VERSION", help="only this version, like v1 (default: all)")
        check = actions.add_parser("check", help="fail, naming rule, path and who breaks, where a release is broken")
        for each in (release, check):
            each.add_argument("modules", metavar="MODULE", nargs="*", help="only these (default: all)")
            each.add_argument(
                "--date",
                type=date.fromisoformat,
                metavar="YYYY-MM-DD",
                help="judge sunsets by this day (default: the last commit's; today's where something is not committed)",
            )

    def handle(self, *_args: Any, **options: Any) -> None:
        try:
            chosen = [modules.named(label) for label in modules.selected(options["modules"])]
        except LookupError as error:
            raise CommandError(str(error)) from error
        try:
            if options["action"] == "release":
                self._release(chosen, options)
            else:
                self._check(chosen, options)
        except errors.Misconfigured as error:
            raise CommandError(str(error)) from error

    def _release(self, chosen: list[modules.ModuleConfig], options: dict[str, Any]) -> None:
        on = options["date"] or datetime.now(UTC).date()
        root = modules.project_root()
        for module in chosen:
            for version, path in checking.release(module, on=on, version=options["version"]):
                if path is None:
                    self.stdout.write(f"{module.label} {version}: nothing changed since the last release")
                else:
                    self.stdout.write(f"{module.label} {version}: {path.relative_to(root)}")

    def _check(self, chosen: list[modules.ModuleConfig], options: dict[str, Any]) -> None:
        history = History.of(modules.project_root())
        on = options["date"] or history.day()
        reports = [checking.check(module, on=on, history=history) for module in chosen]
        for note in (note for report in reports for note in report.notes):
            self.stdout.write(note)
        if problems := [problem for report in reports for problem in report.problems]:
            raise CommandError("\n".join(problems))
        self.stdout.write(f"{len(chosen)} API(s) keep what they released, as of {on}.")
