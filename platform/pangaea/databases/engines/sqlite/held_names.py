"""Names that one thread of the process holds at a time. No thread waits for one."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class HeldNames:
    """The names that are held, each with the database file that it belongs to."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._names: set[tuple[str, str]] = set()

    @contextmanager
    def held(self, file: str, name: str) -> Iterator[bool]:
        """Hold a name until exit. Yields False if it is held already."""
        with self._guard:
            is_free = (file, name) not in self._names
            self._names.add((file, name))
        try:
            yield is_free
        finally:
            if is_free:
                with self._guard:
                    self._names.discard((file, name))
