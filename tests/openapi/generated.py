"""A Python client, generated from the rendered document by openapi-python-client."""

import subprocess
import sys
from pathlib import Path

from tests.processes import ROOT

DOCUMENT = ROOT / "docs" / "openapi.yaml"
PACKAGE = "pangaea_client"
SECONDS = 120.0


def python_client(folder: Path, *, document: Path = DOCUMENT) -> Path:
    """The package's folder, generated in `folder`. Any warning of the generator is a failure."""
    configuration = folder / "generator.yaml"
    configuration.write_text("post_hooks: []\n")  # by default ruff formats the package
    done = subprocess.run(
        [
            *(sys.executable, "-m", "openapi_python_client", "generate", f"--path={document}", "--meta=none"),
            *(f"--output-path={folder / PACKAGE}", f"--config={configuration}", "--fail-on-warning"),
        ],
        check=False,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / PACKAGE
