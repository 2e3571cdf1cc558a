"""Every module works alone: with the other modules' folders deleted it starts, and its own tests pass."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from pangaea.testing import free_port, wait_until
from tests.architecture.sources import ROOT, labels

LEFT_BEHIND = shutil.ignore_patterns(
    ".git", ".venv", ".local", ".*_cache", ".hypothesis", "__pycache__", "node_modules"
)
CHOSEN = ("PANGAEA_", "DJANGO_", "DATABASE_URL", "BROKER_URL", "LOCAL_STATE_DIR", "PYTEST_")
"""Prefixes of the variables of this test run's own settings; the extracted module runs on its defaults."""

pytestmark = pytest.mark.full


@pytest.fixture(scope="module", params=sorted(labels()))
def extracted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A module's label, and a copy of the project in which it is the only one."""
    label: str = request.param
    copy = tmp_path_factory.mktemp("extracted") / label
    shutil.copytree(ROOT, copy, ignore=LEFT_BEHIND, symlinks=True)
    for other in labels() - {label}:
        shutil.rmtree(copy / "modules" / other)
    return label, copy


def environment(copy: Path) -> dict[str, str]:
    """An environment in which the copy's kernel precedes the installed one, which is the whole project's."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(CHOSEN)}
    return {**inherited, "PYTHONPATH": f"{copy / 'platform'}{os.pathsep}{copy}", "PYTHONDONTWRITEBYTECODE": "1"}


def python(copy: Path, *arguments: str, seconds: float = 300) -> str:
    """Run Python in the copy; returns its output. Raises AssertionError with that output if it fails."""
    done = subprocess.run(
        [sys.executable, *arguments],
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=copy,
        env=environment(copy),
        timeout=seconds,
    )
    assert done.returncode == 0, done.stdout[-8000:]
    return done.stdout


class TestAnExtractedModule:
    def test_runs_on_its_own_copy_of_the_kernel(self, extracted: tuple[str, Path]) -> None:
        label, copy = extracted
        printed = python(copy, "-c", "import pangaea.modules as m; print(m.__file__, m.discover())")

        assert printed.split() == [str(copy / "platform/pangaea/modules.py"), f"['{label}']"]

    def test_passes_djangos_checks(self, extracted: tuple[str, Path]) -> None:
        _, copy = extracted
        python(copy, "manage.py", "check")
        python(copy, "manage.py", "makemigrations", "--check", "--dry-run")

    def test_starts_and_is_ready(self, extracted: tuple[str, Path]) -> None:
        _, copy = extracted
        python(copy, "manage.py", "migrate", "--verbosity", "0")
        port = free_port()
        log = copy / "runserver.log"
        with (
            log.open("wb") as output,
            subprocess.Popen(
                [sys.executable, "manage.py", "runserver", "--noreload", f"127.0.0.1:{port}"],
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=copy,
                env=environment(copy),
            ) as server,
        ):

            def ready() -> bool:
                assert server.poll() is None, log.read_text()
                try:
                    return httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=5, trust_env=False).is_success
                except httpx.TransportError:
                    return False

            try:
                wait_until(ready, what="/readyz to answer 200", seconds=60)
            finally:
                server.terminate()

    def test_passes_its_own_tests(self, extracted: tuple[str, Path]) -> None:
        label, copy = extracted
        printed = python(copy, "-m", "pytest", f"modules/{label}", "-q", "-p", "no:cacheprovider")

        assert " passed" in printed
