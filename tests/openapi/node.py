"""The Node programs that read the API documents, as package-lock.json pins them. `make npm` installs them."""

import functools
import json
import shutil
import subprocess
import sys
from pathlib import Path

from pangaea.testing.availability import unavailable

FOLDER = Path(__file__).resolve().parent
PROGRAMS = FOLDER / "node_modules"
REMEDY = "run `make npm`"
SECONDS = 120.0


def run(program: str, *arguments: "str | Path", cwd: Path = FOLDER) -> "subprocess.CompletedProcess[str]":
    """Run a program to its end, whatever its status. Skips the test where Node or the programs are not installed."""
    return subprocess.run(
        [_node(), PROGRAMS / ".bin" / program, *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=SECONDS,
    )


@functools.cache
def _found() -> tuple[str | None, str]:
    """Node's path, and why it cannot be used."""
    own = Path(sys.executable).parent / "node"  # where `make npm` links one if the machine has none
    node = str(own) if own.exists() else shutil.which("node")
    if node is None:
        return None, "there is no node"
    pinned: dict[str, str] = json.loads((FOLDER / "package.json").read_text())["devDependencies"]
    for name, version in pinned.items():
        installed = PROGRAMS / name / "package.json"
        if not installed.exists() or json.loads(installed.read_text())["version"] != version:
            return None, f"{name} {version} is not installed"
    return node, ""


def _node() -> str:
    node, why = _found()
    return node or unavailable("Node's programs", why, remedy=REMEDY)
