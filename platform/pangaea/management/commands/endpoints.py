from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from pangaea import errors, gateway, modules


class Command(BaseCommand):
    help = "The addresses of a module's instances, in files that the gateway reloads when they change."

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        add = actions.add_parser("add", help="let the gateway use an instance once it is ready")
        remove = actions.add_parser("remove", help="send an instance no more requests; those in flight end")
        exactly = actions.add_parser("set", help="let the gateway use these instances and no others")
        show = actions.add_parser("list", help="print MODULE HOST:PORT for every instance")
        for action in (add, remove, exactly):
            action.add_argument("module", metavar="MODULE")
            action.add_argument("addresses", metavar="HOST:PORT", nargs="*" if action is exactly else 1)
        show.add_argument("module", metavar="MODULE", nargs="?")
        for action in (add, remove, exactly, show):
            action.add_argument(
                "--directory", metavar="DIR", type=Path, help="the folder of the files (default: the topology's)"
            )
            action.add_argument(
                "--topology",
                metavar="NAME",
                help="use the folder of this topology, where several have one; see topologies.toml",
            )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            directory = options["directory"] or _folder(options["topology"])
            labels = [modules.named(options["module"]).label] if options["module"] else modules.labels()
            files = [gateway.Endpoints(directory, label) for label in labels]
            if options["action"] == "list":
                self._list(files)
            else:
                self._change(files[0], options["action"], options["addresses"])
        except (errors.Misconfigured, LookupError) as error:
            raise CommandError(str(error.args[0])) from error

    def _list(self, files: list[gateway.Endpoints]) -> None:
        for each in files:
            for address in each.list():
                self.stdout.write(f"{each.module} {address}")

    def _change(self, endpoints: gateway.Endpoints, action: str, texts: list[str]) -> None:
        addresses = [gateway.Address.parse_destination(text, what="The address") for text in texts]
        if action == "set":
            endpoints.set(addresses)
            return
        (address,) = addresses
        if action == "add":
            added = endpoints.add(address)
            self.stdout.write(f"{endpoints.module} {address} {'added' if added else 'was there already'}")
        elif endpoints.remove(address):
            self.stdout.write(f"{endpoints.module} {address} removed")
        else:
            there = ", ".join(map(str, endpoints.list())) or "none"
            raise CommandError(f"{endpoints.module} has no endpoint {address}. There are: {there}.")


def _folder(name: str | None) -> Path:
    declared = gateway.topologies(modules.project_root() / gateway.FOLDER)
    folders = {each.name: each.endpoints for each in declared.values() if each.endpoints is not None}
    if name is None and len(folders) == 1:
        (name,) = folders
    if name not in folders:
        raise errors.Misconfigured(
            f"Name the folder with --directory, or a topology that has one with --topology: {', '.join(folders)}."
        )
    return modules.project_root() / str(folders[name])
