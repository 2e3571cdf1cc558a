from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from pangaea import errors, gateway, modules


class Command(BaseCommand):
    help = "The edge's configuration (Envoy), rendered from the routes that the modules declare."

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        render = actions.add_parser("render", help="write gateway_conf/envoy.<topology>.yaml for every topology")
        render.add_argument("--topology", metavar="NAME", help="only this one")
        render.add_argument(
            "--check", action="store_true", help="write nothing; fail, naming the file, where one is not up to date"
        )
        render.add_argument("--listen", metavar="HOST:PORT", help="listen here instead; needs --output")
        render.add_argument("--admin", metavar="HOST:PORT", help="serve Envoy's admin here instead; needs --output")
        render.add_argument(
            "--upstream",
            metavar="MODULE=HOST:PORT",
            action="append",
            default=[],
            help="reach this module here instead; may be repeated; needs --output",
        )
        render.add_argument("--output", metavar="FILE", help="write one topology to this file, `-` for standard output")
        render.add_argument(
            "--directory", metavar="FOLDER", type=Path, help="the folder of the template (default: gateway_conf)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        directory = options["directory"] or modules.project_root() / "gateway_conf"
        try:
            rendered = self._render(directory, options)
        except errors.Misconfigured as error:
            raise CommandError(str(error)) from error
        if options["output"]:
            (text,) = rendered.values()
            self._write(text, options["output"])
        elif options["check"]:
            self._check({directory / f"envoy.{name}.yaml": text for name, text in rendered.items()})
        else:
            for name, text in rendered.items():
                path = directory / f"envoy.{name}.yaml"
                path.write_text(text, encoding="utf-8")
                self.stdout.write(f"{path}: {len(text.splitlines())} lines")

    def _render(self, directory: Path, options: dict[str, Any]) -> dict[str, str]:
        declared = gateway.topologies(directory)
        chosen = list(declared)
        if name := options["topology"]:
            if name not in declared:
                raise CommandError(f"There is no topology {name!r}. Declared: {', '.join(declared)}.")
            chosen = [name]
        overrides = _overrides(options)
        if overrides and not options["output"]:
            raise CommandError("--listen, --admin and --upstream need --output: committed files hold what is declared.")
        if options["output"] and options["check"]:
            raise CommandError("--check compares the committed files; it writes none, so it goes without --output.")
        if options["output"] and len(chosen) != 1:
            raise CommandError(f"--output takes one topology; choose with --topology: {', '.join(declared)}.")
        template = gateway.template(directory)
        return {
            name: gateway.render(declared[name].override(**overrides), modules=modules.installed(), template=template)
            for name in chosen
        }

    def _write(self, text: str, output: str) -> None:
        if output == "-":
            self.stdout.write(text, ending="")
        else:
            Path(output).write_text(text, encoding="utf-8")

    def _check(self, expected: dict[Path, str]) -> None:
        stale = [
            path for path, text in expected.items() if not path.exists() or path.read_text(encoding="utf-8") != text
        ]
        if stale:
            files = ", ".join(str(path) for path in stale)
            raise CommandError(f"Not up to date: {files}. Run `python manage.py gateway render` and commit the result.")
        self.stdout.write(f"{len(expected)} rendered file(s) up to date.")


def _overrides(options: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {
        name: gateway.Address.parse(options[name], what=f"--{name}") for name in ("listen", "admin") if options[name]
    }
    upstreams = {}
    for text in options["upstream"]:
        module, _, address = text.partition("=")
        upstreams[module] = gateway.Address.parse(address, what=f"The address in --upstream {text}")
    return found | ({"upstreams": upstreams} if upstreams else {})
