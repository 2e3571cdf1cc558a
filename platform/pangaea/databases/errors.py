"""The meaning of a database's errors: one table of classes, for messages and for HTTP.

Only an error from a connection of the kernel's own aliases can mean that a later attempt may succeed. Each such error
is marked where Django wraps it, with the alias and with whether a connection existed. If a handler connects to another
server that does not answer, its error has the same class but no mark, and counts as the message's failure.
"""

import mmap
import sqlite3
import struct
from collections.abc import Iterator
from enum import Enum
from functools import cached_property
from time import monotonic
from types import TracebackType
from typing import Any, NamedTuple

import psycopg
from django.db.utils import DatabaseErrorWrapper, Error

from pangaea.errors import Unavailable


class Kind(Enum):
    """Why a transaction failed, if its statements are not the cause."""

    UNAVAILABLE = "the database is unreachable, shutting down, read-only or full"
    BROKEN = "the connection broke in use, and the server gave no reason"
    CONFLICT = "another transaction was in the way"
    TIMED_OUT = "a statement or a transaction took longer than it may"
    OUTDATED = "a table, a column or a function is missing: other migrations than this code's, or a mistake"


POSTGRESQL = {
    "08": Kind.UNAVAILABLE,  # connection exceptions
    "57P01": Kind.UNAVAILABLE,  # admin_shutdown
    "57P02": Kind.UNAVAILABLE,  # crash_shutdown
    "57P03": Kind.UNAVAILABLE,  # cannot_connect_now
    "57P05": Kind.UNAVAILABLE,  # idle_session_timeout
    "25006": Kind.UNAVAILABLE,  # read_only_sql_transaction: a primary that was failed over
    "53": Kind.UNAVAILABLE,  # insufficient resources: disk, memory, connections
    "40001": Kind.CONFLICT,  # serialization_failure
    "40P01": Kind.CONFLICT,  # deadlock_detected
    "55P03": Kind.CONFLICT,  # lock_not_available
    "57014": Kind.TIMED_OUT,  # query_canceled
    "25P03": Kind.TIMED_OUT,  # idle_in_transaction_session_timeout
    "25P04": Kind.TIMED_OUT,  # transaction_timeout
    "42703": Kind.OUTDATED,  # undefined_column
    "42P01": Kind.OUTDATED,  # undefined_table
    "42883": Kind.OUTDATED,  # undefined_function: migrations create the kernel's too
}
"""SQLSTATEs, or the classes they begin with (PostgreSQL, appendix A). All others are the statement's own fault."""

SQLITE = {
    sqlite3.SQLITE_BUSY: Kind.CONFLICT,
    sqlite3.SQLITE_LOCKED: Kind.CONFLICT,
    sqlite3.SQLITE_FULL: Kind.UNAVAILABLE,
    sqlite3.SQLITE_READONLY: Kind.UNAVAILABLE,
    sqlite3.SQLITE_IOERR: Kind.UNAVAILABLE,
    sqlite3.SQLITE_CANTOPEN: Kind.UNAVAILABLE,
}
"""Primary result codes (https://sqlite.org/rescode.html)."""
SQLITE_OUTDATED = ("no such table", "no such column", "has no column named", "no such function")

DISK_FULL = "53100"
REFUSAL_REMEMBERED = 10.0
"""Seconds for which a process is unready after its database was full: only a write shows whether it still is."""

PASSING = frozenset({Kind.UNAVAILABLE, Kind.BROKEN, Kind.CONFLICT, Kind.TIMED_OUT})
"""Kinds after which the same transaction may succeed."""


_MARK = "_pangaea_mark"


class _Mark(NamedTuple):
    alias: str
    was_connected: bool


class _Marking(DatabaseErrorWrapper):
    """Django's wrapper of a connection's errors, which marks each with its alias."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, psycopg.Error | sqlite3.Error):
            if _is_full(error):
                _last_refusal[:] = _REFUSAL.pack(monotonic(), self.wrapper.alias.encode())  # type: ignore[attr-defined] # as below
            mark = _Mark(self.wrapper.alias, self.wrapper.connection is not None)  # type: ignore[attr-defined] # django-stubs omit it
            setattr(error, _MARK, mark)
        super().__exit__(kind, error, trace)


# A worker's main process answers probes about its child: they share this memory if the fork came after the import.
_REFUSAL = struct.Struct("d64p")
_last_refusal = mmap.mmap(-1, _REFUSAL.size)


def was_full(alias: str) -> bool:
    """Whether this alias's database was full at a write of this process or its child within REFUSAL_REMEMBERED."""
    at, name = _REFUSAL.unpack(_last_refusal)
    return bool(name.decode() == alias and monotonic() - at < REFUSAL_REMEMBERED)


def forget_refusals() -> None:
    """Forget that a database was full, as if it had room again."""
    _last_refusal[:] = bytes(_REFUSAL.size)


def _is_full(error: psycopg.Error | sqlite3.Error) -> bool:
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF == sqlite3.SQLITE_FULL
    return error.sqlstate == DISK_FULL


class MarksErrors:
    """A mix-in for a backend's DatabaseWrapper, whose errors `kind_of` then recognises."""

    @cached_property
    def wrap_database_errors(self) -> DatabaseErrorWrapper:
        """The context manager around calls of the driver, which marks their errors."""
        return _Marking(self)


def kind_of(error: BaseException, alias: str | None = None) -> Kind | None:
    """The kind of an error from this alias's connection, or without `alias` from any alias's; None for other errors.

    The errors that it was raised from are examined too: a handler may raise its own error from a deadlock.
    """
    for cause in _causes(error):
        mark: _Mark | None = getattr(cause, _MARK, None)
        if mark and alias in {None, mark.alias}:
            return _kind(cause, mark)
    return None


def alias_of(error: BaseException) -> str | None:
    """The alias whose connection raised the error, or an error that it was raised from."""
    marks = (getattr(cause, _MARK, None) for cause in _causes(error))
    return next((mark.alias for mark in marks if mark), None)


def reason_of(error: BaseException) -> str:
    """The error for an operator; with the remedy, where tables are missing."""
    text = str(error).strip()
    if kind_of(error) is not Kind.OUTDATED:
        return text
    return f"{text.splitlines()[0]}; `manage.py migrate` creates it, in the database that these settings name"


def is_transient(error: BaseException) -> bool:
    """Whether the error means that a dependency is busy or unreachable, and not a fault of the request or this code."""
    return isinstance(error, Unavailable) or (isinstance(error, Error) and kind_of(error) in PASSING)


def _kind(error: Any, mark: _Mark) -> Kind | None:
    if isinstance(error, sqlite3.Error):
        if str(error).startswith(SQLITE_OUTDATED) or SQLITE_OUTDATED[2] in str(error):
            return Kind.OUTDATED
        return SQLITE.get(getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF)
    if error.sqlstate is None:
        lost = isinstance(error, psycopg.OperationalError) or "connection is" in str(error)
        return (Kind.BROKEN if mark.was_connected else Kind.UNAVAILABLE) if lost else None
    return POSTGRESQL.get(error.sqlstate) or POSTGRESQL.get(error.sqlstate[:2])


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in seen:
        seen.append(cause)
        yield cause
        cause = cause.__cause__
