"""`manage.py seed_demo`: a small catalogue, and in the local profile accounts to try it with. Idempotent."""

from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand
from django.utils.module_loading import import_string

from pangaea import modules
from pangaea.pages.start import OPERATOR, PASSWORD


class Command(BaseCommand):
    """Every installed module adds its demo data. Accounts with known passwords exist only in the local profile."""

    help = "Load the demo data of the installed modules (idempotent)."

    def handle(self, *_args: Any, **_options: Any) -> None:
        """Seed, and print what exists."""
        credentials = bool(settings.PANGAEA_IN_PROCESS)
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
