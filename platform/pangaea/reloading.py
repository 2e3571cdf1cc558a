"""Files that others read while they change: a reader finds the former one or the next one, whole."""

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


def replace(path: Path, content: bytes, *, mode: int) -> None:
    """Write the file beside its place and move it there. A file that was there keeps its owner, where root writes."""
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
    """One writer at a time in this folder: two that read, change and replace at once would lose the one's change."""
    with (folder / LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class Renewing(Generic[Made]):
    """What is made of files, and made anew when one of them was written or replaced. Thread-safe.

    `make` raises Misconfigured for files that are missing, damaged or do not fit together. While it does so, what was
    made before stays in use: a change of several files has moments in which they do not fit.
    """

    def __init__(self, files: Sequence[Path], make: Callable[[], Made], *, what: str) -> None:
        self._files = files
        self._make = make
        self._what = what
        self._made: tuple[object, Made] | None = None
        self._refused: object = None
        self._lock = Lock()

    def current(self) -> Made:
        """As the files are. Raises Misconfigured when there never were any that could be used."""
        with self._lock:
            # The stamp from before reading: files that are replaced in between are read again next time.
            stamp = _stamp(self._files)
            if self._made is not None and self._made[0] == stamp:
                return self._made[1]
            try:
                made = self._make()
            except Misconfigured as error:
                if self._made is None:
                    raise
                if self._refused != stamp:
                    log.warning("files cannot be read again", what=self._what, error=str(error))
                self._refused = stamp
                return self._made[1]
            if self._made is not None:
                log.info("files read again", what=self._what, file=str(self._files[0]))
            self._made = stamp, made
            return made


def _stamp(files: Sequence[Path]) -> object:
    """Differs when one of them was written, replaced or removed."""
    try:
        stats = [file.stat() for file in files]
    except OSError as error:
        return str(error)
    return [(each.st_mtime_ns, each.st_ino, each.st_size) for each in stats]
