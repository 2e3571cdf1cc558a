"""Keys that the local profile generates once, readable by their owner alone."""

from collections.abc import Callable
from pathlib import Path

from django.core.management.utils import get_random_secret_key
from joserfc.jwk import ECKey

from pangaea.reloading import locked, write_atomically


def generated_secrets(folder: Path) -> dict[str, str]:
    """SECRET_KEY and SIGNING_KEY, saved in `folder` so that a restart ends no log-in. Raises OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return {
        "SECRET_KEY": _keep(folder / "secret_key", get_random_secret_key),
        "SIGNING_KEY": _keep(
            folder / "signing_key.pem", lambda: ECKey.generate_key("P-256").as_pem(private=True).decode()
        ),
    }


def _keep(path: Path, make: Callable[[], str]) -> str:
    if not path.exists():
        # Another process may do the same at this moment, and both must use the first key. Hence the lock: some file
        # systems in containers refuse hard links, and a file that is opened exclusively is empty at first.
        with locked(path.parent):
            if not path.exists():
                write_atomically(path, make().encode(), mode=0o600)
    return path.read_text()
