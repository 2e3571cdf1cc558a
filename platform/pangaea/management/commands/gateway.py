import math
import os
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from pangaea import errors, gateway, modules
from pangaea.configuration import reading
from pangaea.gateway import validation
from pangaea.rendering import registry

ADDRESSES = {
    "listen": "listen here instead",
    "listen_tls": "listen for TLS here instead",
    "operators": "serve the modules' admins here instead",
    "admin": "serve Envoy's admin here instead",
}


class Command(BaseCommand):
    help = "The edge's configuration (Envoy). `manage.py render gateway` writes the committed one."

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        folder: dict[str, Any] = {
            "metavar": "FOLDER",
            "type": Path,
            "help": f"the folder of the template (default: {gateway.FOLDER})",
        }
        validate = actions.add_parser("validate", help="let Envoy judge every committed rendering")
        validate.add_argument("--directory", **folder)
        configure = actions.add_parser("configure", help="write one topology's configuration for a deployment")
        configure.add_argument("topology", metavar="TOPOLOGY", help="one of topologies.toml")
        configure.add_argument("--output", metavar="FILE", required=True, help="the file; `-` for standard output")
        configure.add_argument("--directory", **folder)
        for name, purpose in ADDRESSES.items():
            configure.add_argument(f"--{name.replace('_', '-')}", metavar="HOST:PORT", help=purpose)
        configure.add_argument(
            "--upstream",
            metavar="MODULE=HOST:PORT",
            action="append",
            default=[],
            help="reach this module here instead; may be repeated",
        )
        configure.add_argument(
            "--host", metavar="NAME", help="name services like this instead: one of their ALLOWED_HOSTS"
        )
        configure.add_argument("--endpoints", metavar="FOLDER", help="read the files of endpoints here instead")
        configure.add_argument("--certificates", metavar="FOLDER", help="read the certificates here instead")
        configure.add_argument("--limits", metavar="FACTOR", type=float, help="multiply every rate limit by this")

        configure.add_argument(
            "--demo", action="store_true", help="show the demo's log-ins on the start page; their passwords are public"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        directory = options["directory"] or modules.project_root() / gateway.FOLDER
        try:
            if options["action"] == "validate":
                self.stdout.write(validation.validate(directory))
            else:
                self._configure(directory, options)
        except errors.Misconfigured as error:
            raise CommandError(str(error)) from error

    def _configure(self, directory: Path, options: dict[str, Any]) -> None:
        declared = gateway.topologies(directory)
        if options["topology"] not in declared:
            raise CommandError(f"There is no topology {options['topology']!r}. Declared: {', '.join(declared)}.")
        path = Path(options["output"])
        files = gateway.files(
            path,
            declared[options["topology"]].override(**_overrides(options)),
            modules=modules.installed(),
            template=gateway.template(directory),
            # The edge belongs to a deployment, so this process's profile sets no defaults.
            installation=reading.declared(os.environ),
            root=modules.project_root(),
        )
        if options["output"] != "-":
            registry.write(files)
        elif len(files) > 1:
            raise CommandError("A topology with certificates is written to several files: give --output a file name.")
        else:
            self.stdout.write(files[path], ending="")


def _overrides(options: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {
        name: gateway.Address.parse_listener(options[name], what=f"--{name.replace('_', '-')}")
        for name in ADDRESSES
        if options[name] is not None
    }
    found |= {
        name: options[name] for name in ("host", "endpoints", "certificates", "limits") if options[name] is not None
    }
    found |= {"demo": True} if options["demo"] else {}
    if not 0 < found.get("limits", 1) < math.inf:
        raise CommandError("--limits is a positive number, like 100.")
    upstreams = {}
    for text in options["upstream"]:
        module, _, address = text.partition("=")
        upstreams[module] = gateway.Address.parse_destination(address, what=f"The address in --upstream {text}")
    return found | ({"upstreams": upstreams} if upstreams else {})
