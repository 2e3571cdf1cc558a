"""The contracts of `importlinter.ini` hold on the project and on any set of modules, and each of them can break."""

import configparser
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.sources import ROOT

CONFIGURATION = ROOT / "importlinter.ini"

CLEAN = {
    "pangaea/__init__.py": "",
    "pangaea/messages.py": "",
    "pangaea/broker/__init__.py": "",
    "pangaea/broker/sending.py": "import kombu",
    "modules/__init__.py": "",
    "modules/orders/__init__.py": "",
    "modules/orders/acl.py": "from pangaea import messages",
    "modules/orders/models.py": "from django.db import models",
    "modules/orders/commands.py": "from modules.orders import models",
}
OFFENCES = {
    "independence": {"modules/users/__init__.py": "", "modules/users/queries.py": "from modules.orders import models"},
    "kernel": {"pangaea/broker/sending.py": "import modules.orders"},
    "public-kernel": {"modules/orders/commands.py": "from pangaea import broker"},
    "bus": {"modules/orders/commands.py": "from celery import shared_task"},
    "layers": {"modules/orders/models.py": "from modules.orders import commands", "modules/orders/commands.py": ""},
    "kernel-layers": {"pangaea/messages.py": "from pangaea import broker"},
    "kernel-cycles": {
        "pangaea/broker/topology.py": "from pangaea.broker import sending",
        "pangaea/broker/sending.py": "from pangaea.broker import topology",
    },
    "published-language": {"modules/orders/acl.py": "from django.db import models"},
}


def contracts() -> dict[str, str]:
    """The contracts: {id: name}."""
    parser = configparser.ConfigParser()
    parser.read(CONFIGURATION)
    return {
        section.rpartition(":")[2]: parser[section]["name"]
        for section in parser.sections()
        if section.startswith("importlinter:contract:")
    }


def lint(folder: Path, *, path: str) -> tuple[int, set[str], str]:
    """The exit status, the names of broken contracts and the report of lint-imports in a folder."""
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--config", CONFIGURATION, "--no-cache"],
        check=False,
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, "COLUMNS": "200"},
        timeout=120,
    )
    return done.returncode, set(re.findall(r"^(.*) BROKEN\b", done.stdout, re.MULTILINE)), done.stdout + done.stderr


def write(folder: Path, files: dict[str, str]) -> None:
    for name, code in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(code + "\n")


class TestTheContracts:
    def test_hold(self) -> None:
        status, broken, report = lint(ROOT, path=f"{ROOT / 'platform'}:{ROOT}")

        assert (status, broken) == (0, set()), report

    def test_hold_whatever_modules_there_are(self, tmp_path: Path) -> None:
        write(tmp_path, CLEAN)

        status, broken, report = lint(tmp_path, path=str(tmp_path))

        assert (status, broken) == (0, set()), report

    @pytest.mark.parametrize("contract", OFFENCES)
    def test_break(self, contract: str, tmp_path: Path) -> None:
        write(tmp_path, CLEAN | OFFENCES[contract])

        status, broken, report = lint(tmp_path, path=str(tmp_path))

        assert (status, contracts()[contract] in broken) == (1, True), report

    def test_break_by_a_part_of_the_kernel_that_has_no_layer(self, tmp_path: Path) -> None:
        write(tmp_path, CLEAN | {"pangaea/helpers.py": ""})

        status, _, report = lint(tmp_path, path=str(tmp_path))

        assert (status, "pangaea.helpers" in report) == (1, True), report

    def test_name_no_layer_that_there_is_not(self) -> None:
        parser = configparser.ConfigParser()
        parser.read(CONFIGURATION)
        layers = set(re.findall(r"\w+", parser["importlinter:contract:kernel-layers"]["layers"]))
        kernel = ROOT / "platform" / "pangaea"
        assert layers == {path.stem for path in kernel.glob("[!_]*.py")} | {
            path.parent.name for path in kernel.glob("*/__init__.py")
        }

    def test_are_each_proven_able_to_break(self) -> None:
        assert set(OFFENCES) == set(contracts())
