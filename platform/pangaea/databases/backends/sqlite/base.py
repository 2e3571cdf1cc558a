"""The backend that ENGINE names; Django looks for a DatabaseWrapper in this file.

SQLite lets one writer in at a time and makes the others poll, with no order among them: two busy threads starve a third
for seconds. Inside one process a queue in front of the file is enough to make waiting short and fair.
"""

import os
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from django.db.backends.sqlite3 import base, operations

from pangaea.databases.errors import MarksErrors


class FairLock:
    """A lock that is handed over in the order of asking. Any thread may release it."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._waiting: deque[threading.Event] = deque()
        self._taken = False

    def acquire(self, timeout: float) -> bool:
        """Wait for one's turn, `timeout` seconds at most; False when it did not come."""
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
        return True  # the turn came while giving up

    def release(self) -> None:
        """Hand over to the one who has waited longest."""
        with self._guard:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._taken = False


_locks: dict[str, FairLock] = {}
_locks_guard = threading.Lock()


def lock_of(path: str) -> FairLock:
    """The one lock of a database file in this process."""
    with _locks_guard:
        return _locks.setdefault(path, FairLock())


class DatabaseOperations(operations.DatabaseOperations):
    """Empties the outbox last, as emptying a captured table fills it."""

    def sql_flush(self, style: Any, tables: Sequence[str], **options: Any) -> list[str]:
        return sorted(super().sql_flush(style, tables, **options), key=lambda statement: "pangaea_outbox" in statement)


class DatabaseWrapper(MarksErrors, base.DatabaseWrapper):
    """Takes the file's lock with BEGIN IMMEDIATE and gives it back with the transaction's end.

    A commit that changed something wakes the relay: a trigger may have written into the outbox.
    """

    ops_class = DatabaseOperations
    _turn: FairLock | None = None
    _changes = 0

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """A connection. The file is its owner's alone; SQLite gives the files beside it the same mode."""
        name = str(self.settings_dict["NAME"])
        if not name.startswith(("file:", ":memory:")):
            with suppress(OSError):  # then SQLite says why
                os.close(os.open(name, os.O_CREAT | os.O_RDWR, 0o600))
        return super().get_new_connection(conn_params)

    def _start_transaction_under_autocommit(self) -> None:
        timeout = float(self.settings_dict["OPTIONS"].get("timeout", 5))
        lock = lock_of(str(self.settings_dict["NAME"]))
        if not lock.acquire(timeout):
            message = f"database is locked: another thread has held {self.alias!r} for {timeout} s"
            locked = sqlite3.OperationalError(message)
            locked.sqlite_errorcode = sqlite3.SQLITE_BUSY
            with self.wrap_database_errors:
                raise locked
        self._turn = lock
        try:
            super()._start_transaction_under_autocommit()  # type: ignore[misc] # django-stubs omit it
            self._changes = self.connection.total_changes
        except BaseException:
            self._hand_over()
            raise

    def _commit(self) -> Any:
        from pangaea.databases import relay_sessions  # it needs the app registry, and Django loads this file before

        result = super()._commit()  # type: ignore[misc] # as above
        has_written = self._turn is not None and self.connection.total_changes != self._changes
        self._hand_over()
        if has_written:
            relay_sessions.wake_here(self.alias)
        return result

    def _rollback(self) -> Any:
        return self._ending(super()._rollback)  # type: ignore[misc] # as above

    def _close(self) -> Any:
        return self._ending(super()._close)  # type: ignore[misc] # as above

    def _ending(self, action: Callable[[], Any]) -> Any:
        try:
            return action()
        finally:
            self._hand_over()

    def _hand_over(self) -> None:
        lock, self._turn = self._turn, None
        if lock is not None:
            lock.release()
