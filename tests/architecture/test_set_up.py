"""`.ci/venv`: an environment that would not do what was asked for is refused in a line, with the remedy."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pangaea.servers.postgresql import UNPRIVILEGED
from tests.architecture.sources import ROOT

REMEDY = "rm -rf .venv"
BASE = Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
OLD = "#!/bin/sh\ncase $2 in *sys.exit*) exit 1 ;; *) printf 3.9.1 ;; esac\n"


@pytest.fixture
def project() -> Iterator[Path]:
    """A project with an environment in which pip is only named, in a folder that all accounts may read."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder).resolve()
        root.chmod(0o755)
        (root / ".ci").mkdir()
        shutil.copy(ROOT / ".ci" / "venv", root / ".ci")
        subprocess.run([BASE, "-m", "venv", "--without-pip", root / ".venv"], check=True)
        (root / ".venv" / "bin" / "pip").write_text(f"#!{root}/.venv/bin/python\n")
        # In place of the package, which the script looks for.
        next((root / ".venv" / "lib").glob("python*/site-packages")).joinpath("pip.py").touch()
        yield root


def venv(project: Path, *, user: str | None = None, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [project / ".ci" / "venv"],
        check=False,
        capture_output=True,
        text=True,
        user=user,
        env={"PATH": os.environ["PATH"], **environment},
        timeout=60,
    )


def refusal(done: "subprocess.CompletedProcess[str]") -> str:
    assert done.returncode == 1, done
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    return done.stderr


def script(path: Path, text: str) -> Path:
    path.unlink(missing_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


class TestAnEnvironment:
    def test_that_works_is_left_alone(self, project: Path) -> None:
        for environment in ({}, {"PYTHON": str(BASE)}, {"PYTHON": ".venv/bin/python"}, {"PYTHON": ""}):
            done = venv(project, **environment)
            assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), environment

    def test_of_another_python_than_the_one_asked_for_is_refused(self, project: Path) -> None:
        """As `PYTHON=python3.13 make run` with a .venv of 3.11, which ran 3.11."""
        asked = "import sys; sys.version_info = (3, 14, 9); sys.base_prefix = '/opt/python'; exec(sys.argv.pop(1))"
        other = script(project / "python3.14", f'#!/bin/sh\nshift\nexec {BASE} -c "{asked}" "$@"\n')
        text = refusal(venv(project, PYTHON=str(other)))
        assert f"PYTHON={other} is Python 3.14.9 in /opt/python, but the .venv here was made with" in text
        assert f"{sys.version_info.major}.{sys.version_info.minor}." in text
        assert REMEDY in text
        assert "leave PYTHON out" in text

    def test_is_not_used_where_the_python_asked_for_is_missing(self, project: Path) -> None:
        text = refusal(venv(project, PYTHON="/nowhere/python3.13"))
        assert "looked for /nowhere/python3.13" in text

    def test_that_was_moved_or_copied_is_refused(self, project: Path) -> None:
        (project / ".venv" / "bin" / "pip").write_text("#!/elsewhere/.venv/bin/python\n")
        text = refusal(venv(project))
        assert "made in another folder, or was copied" in text
        assert REMEDY in text

    def test_that_was_made_by_another_name_of_the_folder_is_used(self, project: Path) -> None:
        link = project / "link"
        link.symlink_to(project)
        (project / ".venv" / "bin" / "pip").write_text(f"#!{link}/.venv/bin/python\n")
        assert venv(project).returncode == 0

    def test_behind_a_link_or_in_a_folder_with_a_space_is_used(self, project: Path) -> None:
        shutil.move(project / ".venv", project / "my environments")
        (project / ".venv").symlink_to("my environments")
        # How pip writes a path with a space.
        long = f"#!/bin/sh\n'''exec' \"{project}/my environments/bin/python\" \"$0\" \"$@\"\n' '''\n"
        (project / "my environments" / "bin" / "pip").write_text(long)
        assert venv(project).returncode == 0

    def test_whose_interpreter_was_removed_is_refused(self, project: Path) -> None:
        python = project / ".venv" / "bin" / "python"
        python.unlink()
        python.symlink_to("/nowhere/python3.11")
        text = refusal(venv(project))
        assert "has no interpreter: /nowhere/python3.11 is missing." in text
        assert REMEDY in text

    def test_whose_interpreter_does_not_run_is_refused(self, project: Path) -> None:
        script(project / ".venv" / "bin" / "python", "\x7fELF of another machine")
        assert "its interpreter does not run on this machine" in refusal(venv(project))

    def test_of_a_python_that_is_too_old_is_refused(self, project: Path) -> None:
        script(project / ".venv" / "bin" / "python", OLD)
        assert "it has Python 3.9.1, and Pangaea needs 3.11 to 3.14" in refusal(venv(project))

    def test_of_another_account_is_refused(self, project: Path) -> None:
        if os.geteuid() == 0:
            user, owner = UNPRIVILEGED, "root"
        else:
            user, owner = None, (project / ".venv").owner()
            (project / ".venv").chmod(0o555)
        text = refusal(venv(project, user=user))
        assert f"belongs to {owner}, and " in text
        assert "sudo rm -rf .venv" in text

    def test_without_pip_and_without_ensurepip_is_refused(self, project: Path) -> None:
        """As Debian's Python leaves it behind, where its package with `venv` is missing."""
        next((project / ".venv" / "lib").glob("python*/site-packages")).joinpath("pip.py").unlink()
        (project / "ensurepip.py").write_text("raise ImportError")
        text = refusal(venv(project, PYTHONPATH=str(project)))
        assert "has no pip, and its Python cannot install one" in text
