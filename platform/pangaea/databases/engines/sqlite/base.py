"""The backend that ENGINE names. Django looks for a DatabaseWrapper in this file."""

import os
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from django.db.backends.sqlite3 import base, operations

from pangaea.databases.engines.sqlite import relay_session
from pangaea.databases.engines.sqlite.engine import SQLite
from pangaea.databases.engines.sqlite.fair_lock import FairLock, lock_of
from pangaea.databases.errors import MarksErrors


class DatabaseOperations(operations.DatabaseOperations):
    """Empties the outbox last, because emptying a captured table writes into the outbox."""

    def sql_flush(self, style: Any, tables: Sequence[str], **options: Any) -> list[str]:
        return sorted(super().sql_flush(style, tables, **options), key=lambda statement: "pangaea_outbox" in statement)


class DatabaseWrapper(MarksErrors, base.DatabaseWrapper):
    """Takes the file's fair lock before BEGIN IMMEDIATE, and releases it when the transaction ends.

    A commit that changed something wakes the relay: a trigger may have written into the outbox.
    """

    engine = SQLite()
    ops_class = DatabaseOperations
    _turn: FairLock | None = None
    _changes = 0

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """Open a connection. Only its owner may read the file; SQLite gives the files beside it the same mode."""
        name = str(self.settings_dict["NAME"])
        if not name.startswith(("file:", ":memory:")):
            # Only a file that does not exist is opened. Closing a handle of one that SQLite has open would drop the
            # locks of this process, and another process could delete the log with commits that are only there:
            # https://sqlite.org/howtocorrupt.html, 2.2. If the file cannot be created, SQLite raises the reason.
            with suppress(OSError):
                os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
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
        result = super()._commit()  # type: ignore[misc] # as above
        has_written = self._turn is not None and self.connection.total_changes != self._changes
        self._hand_over()
        if has_written:
            relay_session.wake(self.alias)
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
