"""The lines of docs/services.md that move a module's schema, word for word."""

import os
import re
import subprocess
from pathlib import Path

from pangaea.servers import postgresql

PAGE = Path(__file__).parents[2] / "docs" / "services.md"


def lines() -> str:
    """The documented lines, for the module `orders`."""
    (block,) = re.findall(r"```sh\n([^`]*--schema=orders[^`]*)```", PAGE.read_text())
    return str(block)


def run(
    module: str, *, source: str, target: str, folder: Path, programs: Path | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run the lines for a module, in `folder`. The programs in the folder `programs` precede those of the server."""
    # The clients of the server that the tests start, or this machine's for the server that the environment names.
    clients = None if os.environ.get("TEST_POSTGRES_URL") else postgresql.client("psql").parent
    path = ":".join(str(each) for each in (programs, clients, os.environ["PATH"]) if each)
    return subprocess.run(
        ["sh", "-c", re.sub(r"\borders\b", module, lines())],
        check=False,
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PATH": path, "SOURCE": source, "TARGET": target},
        timeout=60,
    )
