"""`make split` and the measurements begin in a process without Django's settings."""

import os
import subprocess
import sys

import pytest

from deploy.split import ROOT


class TestAPackageOfCommands:
    @pytest.mark.parametrize("name", ["deploy", "bench"])
    def test_starts_without_settings(self, name: str) -> None:
        environment = {key: value for key, value in os.environ.items() if key != "DJANGO_SETTINGS_MODULE"}
        command = [sys.executable, "-m", name, "--help"]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
