import os
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from pangaea import errors, gateway, modules
from pangaea.configuration.declared import Declared
from pangaea.gateway import validation


class Command(BaseCommand):
    help = "The edge's configuration (Envoy), rendered from the routes that the modules declare."

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        folder: dict[str, Any] = {
            "metavar": "FOLDER",
            "type": Path,
            "help": "the folder of the template (default: gateway_conf)",
        }
        validate = actions.add_parser("validate", help="let Envoy judge every committed rendering")
        validate.add_argument("--directory", **folder)
        render = actions.add_parser("render", help="write gateway_conf/envoy.<topology>.yaml for every topology")
        render.add_argument("--directory", **folder)
        render.add_argument("--topology", metavar="NAME", help="only this one")
        render.add_argument(
            "--check", action="store_true", help="write nothing; fail, naming the file, where one is not up to date"
        )
        render.add_argument("--output", metavar="FILE", help="write one topology to this file, `-` for standard output")
        other = render.add_argument_group("another place for one topology; needs --output")
        other.add_argument("--listen", metavar="HOST:PORT", help="listen here instead")
        other.add_argument("--listen-tls", metavar="HOST:PORT", help="listen for TLS here instead")
        other.add_argument("--operators", metavar="HOST:PORT", help="serve the modules' admins here instead")
        other.add_argument("--admin", metavar="HOST:PORT", help="serve Envoy's admin here instead")
        other.add_argument(
            "--upstream",
            metavar="MODULE=HOST:PORT",
            action="append",
            default=[],
            help="reach this module here instead; may be repeated",
        )
        other.add_argument("--endpoints", metavar="FOLDER", help="read the files of endpoints here instead")
        other.add_argument("--certificates", metavar="FOLDER", help="read the certificates here instead")
        other.add_argument("--limits", metavar="FACTOR", type=float, help="every rate limit times this")

    def handle(self, *args: Any, **options: Any) -> None:
        directory = options["directory"] or modules.project_root() / "gateway_conf"
        try:
            if options["action"] == "validate":
                self.stdout.write(validation.validate(directory))
            else:
                self._render(directory, options)
        except errors.Misconfigured as error:
            raise CommandError(str(error)) from error

    def _render(self, directory: Path, options: dict[str, Any]) -> None:
        output = options["output"]
        topologies = _chosen(directory, options)
        # The edge is a deployment's, whichever profile renders it: what the environment does not say has its default.
        installation = Declared.read(os.environ)
        template = gateway.template(directory)
        files: dict[Path, str] = {}
        for topology in topologies:
            path = Path(output) if output else directory / f"envoy.{topology.name}.yaml"
            rendering = gateway.render(
                topology,
                modules=modules.installed(),
                template=template,
                installation=installation,
                secrets=_from_root(secrets_of(path)),
            )
            files[path] = rendering.configuration
            files |= {secrets_of(path) / file: text for file, text in rendering.secrets.items()}
        if output == "-":
            if len(files) > 1:
                raise CommandError("A topology with certificates takes more than one file: give --output a name.")
            self.stdout.write(files[Path(output)], ending="")
        elif options["check"]:
            self._check(files)
        else:
            self._write(files, quietly=bool(output))

    def _write(self, files: dict[Path, str], *, quietly: bool) -> None:
        for path, text in files.items():
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
            if not quietly:
                self.stdout.write(f"{path}: {len(text.splitlines())} lines")

    def _check(self, expected: dict[Path, str]) -> None:
        stale = [
            path for path, text in expected.items() if not path.exists() or path.read_text(encoding="utf-8") != text
        ]
        if stale:
            files = ", ".join(str(path) for path in stale)
            raise CommandError(f"Not up to date: {files}. Run `python manage.py gateway render` and commit the result.")
        self.stdout.write(f"{len(expected)} rendered file(s) up to date.")


def _chosen(directory: Path, options: dict[str, Any]) -> list[gateway.Topology]:
    declared = gateway.topologies(directory)
    names, output = list(declared), options["output"]
    if name := options["topology"]:
        if name not in declared:
            raise CommandError(f"There is no topology {name!r}. Declared: {', '.join(declared)}.")
        names = [name]
    overrides = _overrides(options)
    if overrides and not output:
        raise CommandError("Other addresses and folders need --output: committed files hold what is declared.")
    if output and options["check"]:
        raise CommandError("--check compares the committed files; it writes none, so it goes without --output.")
    if output and len(names) != 1:
        raise CommandError(f"--output takes one topology; choose with --topology: {', '.join(declared)}.")
    return [declared[name].override(**overrides) for name in names]


def secrets_of(configuration: Path) -> Path:
    """The folder with the files that tell Envoy where its certificates are: beside the configuration."""
    return configuration.with_suffix(".secrets")


def _from_root(path: Path) -> str:
    """As Envoy will name it: started at the project's root, or wherever it is."""
    try:
        return path.resolve().relative_to(modules.project_root().resolve()).as_posix()
    except ValueError:
        return str(path.resolve())


def _overrides(options: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {
        name: gateway.Address.parse(options[name], what=f"--{name.replace('_', '-')}")
        for name in ("listen", "listen_tls", "operators", "admin")
        if options[name]
    }
    found |= {name: options[name] for name in ("endpoints", "certificates", "limits") if options[name] is not None}
    if found.get("limits", 1) <= 0:
        raise CommandError("--limits is a positive number, like 100.")
    upstreams = {}
    for text in options["upstream"]:
        module, _, address = text.partition("=")
        upstreams[module] = gateway.Address.parse(address, what=f"The address in --upstream {text}")
    return found | ({"upstreams": upstreams} if upstreams else {})
