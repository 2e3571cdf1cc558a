"""The document of the whole system: committed, valid, and what the process serves."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from django.core.management import CommandError, call_command
from django.test import Client
from openapi_spec_validator import validate

from pangaea import modules
from tests.kernel.configuration.test_settings import ROOT

COMMITTED = ROOT / "docs" / "openapi.yaml"

if modules.labels() != modules.discover() or not COMMITTED.is_file():
    pytest.skip("shows the document of all modules together", allow_module_level=True)


class TestTheDocument:
    def test_that_is_committed_is_up_to_date(self) -> None:
        call_command("openapi", "render", "--check")

    def test_is_valid_and_says_what_is_served(self) -> None:
        document = yaml.safe_load(COMMITTED.read_text())
        validate(document)
        assert document == Client().get("/api/schema/").json()

    def test_is_named_when_it_is_out_of_date(self, tmp_path: Path) -> None:
        path = tmp_path / "openapi.yaml"
        with pytest.raises(CommandError, match=r"Not up to date: .*openapi.yaml"):
            call_command("openapi", "render", "--check", output=path)
        call_command("openapi", "render", output=path)
        assert path.read_text() == COMMITTED.read_text()
        path.write_text(path.read_text().replace("orders", "borders", 1))
        with pytest.raises(CommandError, match="openapi render"):
            call_command("openapi", "render", "--check", output=path)

    def test_is_not_made_of_a_part(self) -> None:
        done = subprocess.run(
            [sys.executable, ROOT / "manage.py", "openapi", "render", "--check"],
            check=False,
            capture_output=True,
            text=True,
            cwd=ROOT,
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": f"{ROOT / 'platform'}{os.pathsep}{ROOT}",
                "PANGAEA_MODULES": modules.labels()[0],
            },
        )
        assert done.returncode == 1
        assert "PANGAEA_MODULES" in done.stderr
