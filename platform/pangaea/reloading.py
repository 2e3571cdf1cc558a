"""Files that are replaced while processes use them: atomic writes, and readers that reload."""

import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import Generic, TypeVar

import structlog

from pangaea.errors import Misconfigured

log = structlog.get_logger()

LOCK = ".lock"
Made = TypeVar("Made")


def write_atomically(path: Path, content: bytes, *, mode: int) -> None:
    """Write a temporary file beside `path` and rename it: a reader finds either the former content or the next one.

    If root writes, a replaced file keeps its owner.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".new")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            with suppress(FileNotFoundError, PermissionError):
                before = path.stat()
                os.fchown(file.fileno(), before.st_uid, before.st_gid)
            os.fchmod(file.fileno(), mode)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock. Without it, of two writers that read, change and write at once, one loses its change."""
    with (folder / LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class Reloading(Generic[Made]):
    """An object made from files, and made again after one of them was written or replaced. Thread-safe.

    `make` raises Misconfigured for files that are missing, damaged or do not match. As long as it does, the last object
    stays in use: while several files are being replaced, they do not match for a moment.
    """

    def __init__(self, files: Sequence[Path], make: Callable[[], Made], *, what: str) -> None:
        self._files = files
        self._make = make
        self._what = what
        self._made: tuple[object, Made] | None = None
        self._failed_stamp: object = None
        self._lock = Lock()

    def current(self) -> Made:
        """The object for the files' present content. Raises Misconfigured if `make` has never succeeded."""
        with self._lock:
            # Taken before the files are read, so that files replaced meanwhile are read again at the next call.
            stamp = _stamp(self._files)
            if self._made is not None and self._made[0] == stamp:
                return self._made[1]
            try:
                made = self._make()
            except Misconfigured as error:
                if self._made is None:
                    raise
                if self._failed_stamp != stamp:
                    log.warning("reload failed", what=self._what, error=str(error))
                self._failed_stamp = stamp
                return self._made[1]
            if self._made is not None:
                log.info("files reloaded", what=self._what, file=str(self._files[0]))
            self._made = stamp, made
            return made


def _stamp(files: Sequence[Path]) -> object:
    """A value that changes when one of the files is written, replaced or removed."""
    try:
        stats = [file.stat() for file in files]
    except OSError as error:
        return str(error)
    return [(each.st_mtime_ns, each.st_ino, each.st_size) for each in stats]
