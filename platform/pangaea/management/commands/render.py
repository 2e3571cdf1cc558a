from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from pangaea import errors, modules
from pangaea.rendering import registry


class Command(BaseCommand):
    help = "Write the committed files that are rendered from the code: " + "; ".join(
        f"{each.name} ({each.paths})" for each in registry.RENDERERS
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "names", metavar="NAME", nargs="*", help=f"only these: {', '.join(registry.NAMES)} (default: all)"
        )
        parser.add_argument(
            "--check", action="store_true", help="write nothing; fail, naming the files, where one is not up to date"
        )
        parser.add_argument("--directory", metavar="FOLDER", type=Path, help="the project's folder, if not this one")

    def handle(self, *_args: Any, **options: Any) -> None:
        if unknown := set(options["names"]) - set(registry.NAMES):
            names = ", ".join(registry.NAMES)
            raise CommandError(f"Nothing is rendered as {', '.join(sorted(unknown))}. There are: {names}.")
        root = options["directory"] or modules.project_root()
        try:
            files = registry.render(options["names"], root)
        except errors.Misconfigured as error:
            raise CommandError(str(error)) from error
        outdated = registry.outdated(files)
        if outdated and options["check"]:
            names = ", ".join(path.relative_to(root).as_posix() for path in outdated)
            raise CommandError(f"Not up to date: {names}. Run `python manage.py render` and commit the result.")
        registry.write({path: files[path] for path in outdated})
        for path in outdated:
            self.stdout.write(f"{path.relative_to(root)}: {len(files[path].splitlines())} lines")
        self.stdout.write(f"{len(files)} rendered file(s) up to date.")
