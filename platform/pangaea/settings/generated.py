"""Keys that the local profile makes for itself, once, readable by their owner alone."""

import fcntl
from collections.abc import Callable
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from django.core.management.utils import get_random_secret_key
from joserfc.jwk import ECKey


def generated_secrets(folder: Path) -> dict[str, Any]:
    """`secret_key` and `signing_key`, kept in `folder` so that restarts do not log anybody out."""
    folder.mkdir(parents=True, exist_ok=True)
    return {
        "secret_key": _keep(folder / "secret_key", get_random_secret_key),
        "signing_key": _keep(
            folder / "signing_key.pem", lambda: ECKey.generate_key("P-256").as_pem(private=True).decode()
        ),
    }


def _keep(path: Path, make: Callable[[], str]) -> str:
    if not path.exists():
        # Another process may do the same at this moment: the first key stays. Neither a hard link nor a file opened
        # exclusively would do: file systems in containers may refuse the one, and the other appears empty at first.
        with (path.parent / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not path.exists():
                with NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
                    file.write(make())
                Path(file.name).replace(path)
    return path.read_text()
