from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import yaml
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from pangaea import modules
from pangaea.api import schema

HEADER = """\
# The API of the whole system, whichever way it is deployed: OpenAPI 3.0.3, rendered from the code.
# Edit that and run `python manage.py openapi render`. Each service serves its own part at /api/schema/<module>/.

"""


class Command(BaseCommand):
    help = "The API document of the whole system, in docs/openapi.yaml."

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        render = actions.add_parser("render", help="write docs/openapi.yaml")
        render.add_argument("--check", action="store_true", help="write nothing; fail if the file is not up to date")
        render.add_argument("--output", metavar="FILE", type=Path, help="this file instead")

    def handle(self, *_args: Any, **options: Any) -> None:
        if missing := set(modules.discover(settings.PANGAEA.modules_package)) - set(modules.labels()):
            raise CommandError(
                f"This process lacks {', '.join(sorted(missing))}, so it is not the whole: unset PANGAEA_MODULES."
            )
        path = options["output"] or modules.project_root() / "docs" / "openapi.yaml"
        text = render()
        if not options["check"]:
            path.write_text(text, encoding="utf-8")
            self.stdout.write(f"{path}: {len(text.splitlines())} lines")
        elif not path.is_file() or path.read_text(encoding="utf-8") != text:
            raise CommandError(f"Not up to date: {path}. Run `python manage.py openapi render` and commit the result.")
        else:
            self.stdout.write(f"{path} is up to date.")


def render() -> str:
    """The document as YAML, the same text for the same code. Raises CommandError where the generator is in doubt."""
    document, doubts = schema.build()
    if doubts:
        raise CommandError("The API is not described without a doubt:\n  - " + "\n  - ".join(map(str, doubts)))
    return HEADER + yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)


class _Dumper(yaml.SafeDumper):
    """Writes a shared part out each time, and texts of a framework's own kind as texts."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


_Dumper.add_multi_representer(str, lambda dumper, text: dumper.represent_str(str(text)))
_Dumper.add_multi_representer(dict, lambda dumper, mapping: dumper.represent_dict(dict(mapping).items()))
