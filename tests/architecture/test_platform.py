"""platform/ is a folder of sources. As a package it would hide the standard library's `platform` from all code."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.sources import ROOT


def run(*command: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, check=False, capture_output=True, text=True, cwd=cwd, timeout=60)


class TestTheFolder:
    def test_is_no_package(self) -> None:
        assert not (ROOT / "platform" / "__init__.py").exists()

    @pytest.mark.parametrize("arguments", [["-c"], ["-m", "runpy_platform"]], ids=["-c", "-m"])
    def test_leaves_the_standard_library_alone(self, arguments: list[str], tmp_path: Path) -> None:
        code = "import platform; print(platform.python_version())"
        if arguments[0] == "-m":
            (tmp_path / "runpy_platform.py").write_text(f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n{code}\n")
            done = run(sys.executable, *arguments, cwd=tmp_path)
        else:
            done = run(sys.executable, *arguments, code)

        assert done.stdout.strip() == sys.version.split()[0].rstrip("+"), done.stderr


class TestManagePy:
    @pytest.fixture
    def copy(self, tmp_path: Path) -> Path:
        (tmp_path / "platform").mkdir()
        shutil.copy(ROOT / "manage.py", tmp_path)
        return tmp_path

    def test_refuses_a_package_of_that_name(self, copy: Path) -> None:
        (copy / "platform" / "__init__.py").touch()

        done = run(sys.executable, "manage.py", "check", cwd=copy)

        assert done.returncode == 1
        assert "platform/__init__.py hides the standard library" in done.stderr

    def test_goes_on_without_one(self, copy: Path) -> None:
        done = run(sys.executable, "manage.py", "version", cwd=copy)

        assert "hides the standard library" not in done.stderr


class TestRuff:
    @pytest.mark.parametrize("name", ["platform", "select"])
    def test_refuses_names_of_the_standard_library(self, name: str, tmp_path: Path) -> None:
        package = tmp_path / name
        package.mkdir()
        (package / "__init__.py").touch()
        shutil.copy(ROOT / "pyproject.toml", tmp_path)

        done = run(sys.executable, "-m", "ruff", "check", "--no-cache", ".", cwd=tmp_path)

        assert "A005" in done.stdout
