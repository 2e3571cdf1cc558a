"""A lock that threads acquire in the order of their requests: one per database file and process.

SQLite admits one writer at a time, and waiting writers poll in no order, so that two busy threads starve a third for
seconds. Within a process, a queue in front of the file is enough to make waits short and fair.
"""

import threading
from collections import deque


class FairLock:
    """A lock that is handed over in the order of the requests. Any thread may release it."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._waiting: deque[threading.Event] = deque()
        self._taken = False

    def acquire(self, timeout: float) -> bool:
        """Wait for the lock, at most `timeout` seconds. False if it was not free by then."""
        with self._guard:
            if not self._taken:
                self._taken = True
                return True
            turn = threading.Event()
            self._waiting.append(turn)
        if turn.wait(timeout):
            return True
        with self._guard:
            if turn in self._waiting:
                self._waiting.remove(turn)
                return False
        return True  # the lock was handed over while this thread gave up

    def release(self) -> None:
        """Hand the lock over to the thread that has waited longest."""
        with self._guard:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._taken = False


_locks: dict[str, FairLock] = {}
_guard = threading.Lock()


def lock_of(path: str) -> FairLock:
    """The one lock of a database file in this process."""
    with _guard:
        return _locks.setdefault(path, FairLock())
