"""`manage.py seed_demo`: a small catalogue, and for development accounts to try it with. Idempotent."""

import ipaddress
from argparse import ArgumentParser
from contextlib import suppress
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError
from django.utils.module_loading import import_string

from pangaea import modules
from pangaea.pages.start import OPERATOR, PASSWORD


class Command(BaseCommand):
    """Every installed module adds its demo data.

    Accounts with known passwords exist in the local profile, and where `--log-ins` asks for them: a deployment that
    answers to loopback names alone.
    """

    help = "Load the demo data of the installed modules (idempotent)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Whether accounts are made."""
        parser.add_argument(
            "--log-ins",
            action="store_true",
            help="make the demo's accounts, whose passwords are public: only where ALLOWED_HOSTS has loopback names "
            "alone (the local profile makes them anyway)",
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        """Seed, and print what exists."""
        if options["log_ins"] and (others := [host for host in settings.ALLOWED_HOSTS if not _is_loopback(host)]):
            raise CommandError(
                f"ALLOWED_HOSTS has {', '.join(others)}: accounts with public passwords are only for a deployment that "
                "answers to this machine's own names (localhost, 127.0.0.1). Leave --log-ins out. Nothing was done."
            )
        credentials = bool(settings.PANGAEA_IN_PROCESS or options["log_ins"])
        if credentials:
            self._seed_operator()
        for module in modules.installed():
            if module.demo:
                for line in import_string(module.demo)(credentials=credentials):
                    self.stdout.write(f"{module.label}: {line}")

    def _seed_operator(self) -> None:
        operators = get_user_model()._default_manager
        if not operators.filter(username=OPERATOR).exists():
            operators.create_superuser(username=OPERATOR, email="operator@example.com", password=PASSWORD)
        self.stdout.write(f"ops: operator {OPERATOR!r} with the password {PASSWORD!r} at /admin/")


def _is_loopback(host: str) -> bool:
    with suppress(ValueError):
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    return host == "localhost"
