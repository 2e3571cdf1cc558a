"""`manage.py permissions`: each module's rights at RabbitMQ and PostgreSQL, from what the modules declare."""

import json
import os
from argparse import ArgumentParser
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from pangaea import errors, modules
from pangaea.addresses import http, postgresql
from pangaea.addresses.http import Http
from pangaea.addresses.postgresql import PostgreSQL
from pangaea.broker import management_api, permissions, present_permissions
from pangaea.configuration import transport
from pangaea.configuration.environment import Environment, Unreadable
from pangaea.databases import aliases
from pangaea.databases.grants import administration, present_rights

_management = partial(http.parse, example=f"{management_api.FORM}, RabbitMQ's management API", login=True)
ADMINISTRATOR = "ADMINISTRATOR_URL"
"""The variable with an administrator's URL. Not an option: every account of a machine can read the arguments."""

_REMEDY_AT_POSTGRESQL = "`manage.py permissions apply --postgres` gives what is missing."
_REMEDY_AT_RABBITMQ = "`manage.py permissions apply --rabbitmq` gives what is missing."


class Command(BaseCommand):
    """For a user without a password in the environment, `render` writes no password and `apply` fails.

    `check` fails if a right is missing at a server, or if a login has more than it needs.
    """

    help = "Render, apply or check the rights of each installed module's user at RabbitMQ, or its role in PostgreSQL."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The action and the server."""
        actions = parser.add_subparsers(dest="action", required=True)
        render = actions.add_parser("render", help="write them to standard output or to a file")
        render.add_argument(
            "--output", metavar="FILE", type=Path, help="write to this file, readable by its owner only"
        )
        apply = actions.add_parser(
            "apply",
            help="give them to the servers, for development",
            description=f"{ADMINISTRATOR} is an administrator's URL: with --postgres of one who may make roles and "
            f"databases, postgresql://…; with --rabbitmq of the management API, {management_api.FORM} (without it: "
            f"rabbitmqctl, which needs root). {ADMINISTRATOR}_FILE names a file that holds it.",
        )
        check = actions.add_parser(
            "check",
            help="compare them with the servers, and name each difference",
            description=f"{ADMINISTRATOR} as for apply, with --rabbitmq. With --postgres the modules' own logins look.",
        )
        for action in (render, apply, check):
            where = action.add_mutually_exclusive_group(required=True)
            where.add_argument("--rabbitmq", action="store_true", help="users, permissions and the exchange, as JSON")
            where.add_argument("--postgres", action="store_true", help="roles, databases, schemas and grants, as SQL")
            action.add_argument(
                "--withdraw-other-logins",
                action="store_true",
                help="with --postgres: revoke the modules' roles from all logins except those of the URLs, as the last "
                "step of a rotation; fails while another login is connected",
            )
            action.add_argument("--vhost", metavar="NAME", help="RabbitMQ's virtual host (default: BROKER_URL's)")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Render, apply or check."""
        try:
            if options["postgres"]:
                self._postgres(options)
            else:
                self._rabbitmq(options)
        except errors.Misconfigured as error:
            raise CommandError(str(error)) from error

    def _rabbitmq(self, options: dict[str, Any]) -> None:
        declared = settings.PANGAEA
        labels = modules.labels()
        passwords = permissions.passwords_in(os.environ, labels)
        second_passwords = permissions.passwords_in(os.environ, labels, suffix=permissions.SECOND_PASSWORD_SUFFIX)
        missing = permissions.missing_passwords({**passwords, **second_passwords})
        if missing and options["action"] == "apply":
            raise CommandError(f"Without a password no module can log in: set {', '.join(missing)} (or …_FILE).")
        virtual_host = options["vhost"] or permissions.virtual_host_of(declared)
        found = permissions.definitions(
            declared, labels, virtual_host=virtual_host, passwords=passwords, second_passwords=second_passwords
        )
        text = json.dumps(found, indent=2) + "\n"
        if options["action"] == "render":
            self._write(text, options["output"])
            return
        administrator, authorities = _administrator(_management), declared.broker_ca
        if options["action"] == "apply":
            permissions.apply(text, administrator=administrator, authorities=authorities)
        present = permissions.present(administrator=administrator, authorities=authorities)
        if options["action"] == "check":
            self._report(present_permissions.differences(found, present), _REMEDY_AT_RABBITMQ)
            return
        if unchanged := list(present_permissions.of_exchanges(found, present)):
            raise CommandError("\n".join(unchanged))
        self.stdout.write(f"RabbitMQ has a user for each of {', '.join(labels)}.")

    def _postgres(self, options: dict[str, Any]) -> None:
        if options["action"] == "render":
            self._write(administration.render(withdraw=options["withdraw_other_logins"]), options["output"])
        elif options["action"] == "check":
            self._report(present_rights.differences(), _REMEDY_AT_POSTGRESQL)
        elif (administrator := _administrator(postgresql.parse)) is None:
            raise CommandError(f"{ADMINISTRATOR} is not set: the URL of a role that may make roles and databases.")
        else:
            administration.apply(administrator, withdraw=options["withdraw_other_logins"])
            self.stdout.write(f"PostgreSQL has a schema and a role for each of {', '.join(aliases.installed())}.")

    def _report(self, differences: list[str], remedy: str) -> None:
        if differences:
            raise CommandError("\n".join([*differences, remedy]))
        self.stdout.write("The rights are as declared.")

    def _write(self, text: str, output: Path | None) -> None:
        if output is None:
            self.stdout.write(text, ending="")
            return
        descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)


def _administrator(parse: Callable[[str], Http | PostgreSQL]) -> str | None:
    """The URL, or None if it is not set. Raises CommandError if it reaches another host without verified TLS."""
    try:
        text = Environment(os.environ).text(ADMINISTRATOR)
        address = parse(text) if text else None
    except Unreadable as error:
        raise CommandError(str(error)) from error
    except errors.Misconfigured as error:
        raise CommandError(f"{ADMINISTRATOR} {error}") from None
    accepted = settings.PANGAEA.unverified_hosts
    if address and (problems := transport.problems(ADMINISTRATOR, address, accepted=accepted, environ=os.environ)):
        raise CommandError(" ".join(problems))
    return text or None
