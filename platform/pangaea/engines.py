"""Everything in which PostgreSQL and SQLite differ for the streams, in one place.

PostgreSQL: many writers, so keys are locked by advisory locks, the relay is woken by NOTIFY (a statement trigger on the
outbox) and one relay of several leads by holding a session lock. SQLite: one writer and one process, so none of that is
needed.
"""

import fcntl
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any

import psycopg
from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import Error

from pangaea import databases

Placement = tuple[int, int, int]
"""The id of an outbox row, its partition and its position."""

TRANSIENT = ("08", "40001", "40P01", "57P01", "57P02", "57P03")
"""SQLSTATEs (or their class) after which the same transaction may succeed: lost connection, conflict, restart."""

KEEPALIVE = {"keepalives": 1, "keepalives_idle": 2, "keepalives_interval": 1, "keepalives_count": 3}
"""A connection that only waits is found to be half open after five seconds; else after the system's two hours."""


class Bell(ABC):
    """What a module's relay waits on. Belongs to one thread."""

    @abstractmethod
    def lead(self) -> bool:
        """Whether this relay is the one that leads its module; tries to become it."""

    @abstractmethod
    def wait(self, seconds: float) -> None:
        """Return when something was published or asked for, or the time is over."""

    @abstractmethod
    def close(self) -> None:
        """Give up the lead and the connection."""


class Engine(ABC):
    """One database engine, seen by the streams."""

    @abstractmethod
    def lock_keys(self, connection: BaseDatabaseWrapper, keys: Sequence[str]) -> None:
        """Let one transaction at a time publish for each of these keys of the module, until it ends."""

    @abstractmethod
    def place(self, connection: BaseDatabaseWrapper, rows: Sequence[Placement]) -> None:
        """Write partitions and positions into outbox rows, set-wise."""

    @abstractmethod
    def bell(self, alias: str) -> Bell:
        """A bell on the outbox behind that alias."""

    @abstractmethod
    def published(self, connection: BaseDatabaseWrapper) -> None:
        """See to it that the bell rings when this transaction, which inserted into the outbox, has committed."""

    @abstractmethod
    def ring(self, connection: BaseDatabaseWrapper) -> None:
        """Ring the bell once this transaction has committed."""

    @abstractmethod
    def alone(self, alias: str, work: str) -> AbstractContextManager[bool]:
        """True for one process at a time between entry and exit, also if it dies there; False for all others."""

    @abstractmethod
    def is_transient(self, error: BaseException) -> bool:
        """Whether the same transaction may succeed when it is tried again."""


class PostgreSQL(Engine):
    """Many processes, many writers."""

    def lock_keys(self, connection: BaseDatabaseWrapper, keys: Sequence[str]) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pangaea_lock_keys(%s::text[])", [list(keys)])

    def place(self, connection: BaseDatabaseWrapper, rows: Sequence[Placement]) -> None:
        ids, partitions, positions = (list(column) for column in zip(*rows, strict=True))
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE pangaea_outbox SET partition = place.partition, position = place.position "
                "FROM unnest(%s::bigint[], %s::smallint[], %s::bigint[]) AS place(id, partition, position) "
                "WHERE pangaea_outbox.id = place.id",
                [ids, partitions, positions],
            )

    def bell(self, alias: str) -> Bell:
        return _NotifyBell(alias)

    def published(self, connection: BaseDatabaseWrapper) -> None:
        """Nothing to do: the trigger on the outbox notifies, without another round trip."""

    def ring(self, connection: BaseDatabaseWrapper) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_notify(%s, '')", [channel_of(connection.alias)])

    @contextmanager
    def alone(self, alias: str, work: str) -> Iterator[bool]:
        name = f"{work} of {databases.schema_of(alias)}"
        with databases.connect_directly(alias) as connection:
            row = connection.execute("SELECT pg_try_advisory_lock(%s)", [lock_number(name)]).fetchone()
            yield row == (True,)

    def is_transient(self, error: BaseException) -> bool:
        return any(isinstance(cause, psycopg.Error) and _may_succeed_again(cause) for cause in _causes(error))


class SQLite(Engine):
    """One process, one writer at a time (see `pangaea.sqlite`)."""

    def lock_keys(self, connection: BaseDatabaseWrapper, keys: Sequence[str]) -> None:
        """Nothing to do: a transaction that writes is alone."""

    def place(self, connection: BaseDatabaseWrapper, rows: Sequence[Placement]) -> None:
        with connection.cursor() as cursor:
            cursor.executemany(
                "UPDATE pangaea_outbox SET partition = %s, position = %s WHERE id = %s",
                [(partition, position, row) for row, partition, position in rows],
            )

    def bell(self, alias: str) -> Bell:
        return _EventBell(alias)

    def published(self, connection: BaseDatabaseWrapper) -> None:
        self.ring(connection)

    def ring(self, connection: BaseDatabaseWrapper) -> None:
        transaction.on_commit(partial(wake, connection.alias), using=connection.alias)

    @contextmanager
    def alone(self, alias: str, work: str) -> Iterator[bool]:
        with Path(f"{connections[alias].settings_dict['NAME']}.{work}.lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True

    def is_transient(self, error: BaseException) -> bool:
        return any(isinstance(cause, Error) and "database is locked" in str(cause) for cause in _causes(error))


_engines: dict[str, Engine] = {"postgresql": PostgreSQL(), "sqlite": SQLite()}


def of(alias: str) -> Engine:
    """The engine behind an alias."""
    return _engines[connections[alias].vendor]


def lock_number(name: str) -> int:
    """A name as the signed 64-bit number that PostgreSQL's advisory locks take."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), signed=True)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, what it was raised from, and so on: a handler may put a deadlock into words of its own."""
    seen: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in seen:
        seen.append(cause)
        yield cause
        cause = cause.__cause__


def _may_succeed_again(error: psycopg.Error) -> bool:
    if error.sqlstate is None:  # the connection broke before the server could say why
        return isinstance(error, psycopg.OperationalError)
    return error.sqlstate.startswith(TRANSIENT)


class _NotifyBell(Bell):
    def __init__(self, alias: str) -> None:
        self._alias = alias
        self._connection: psycopg.Connection[Any] | None = None
        self._leads = False

    def lead(self) -> bool:
        connection = self._open()
        if not self._leads:
            name = f"relay of {databases.schema_of(self._alias)}"  # no "<module>/<key>", the name of a key's lock
            row = connection.execute("SELECT pg_try_advisory_lock(%s)", [lock_number(name)]).fetchone()
            self._leads = row == (True,)
        return self._leads

    def wait(self, seconds: float) -> None:
        # Many commits ring many times; one pass answers them all.
        for _ in self._open().notifies(timeout=seconds, stop_after=1):
            break

    def close(self) -> None:
        connection, self._connection, self._leads = self._connection, None, False
        if connection is not None:
            connection.close()

    def _open(self) -> "psycopg.Connection[Any]":
        if self._connection is None or self._connection.closed:
            self._leads = False
            self._connection = databases.connect_directly(self._alias, parameters=KEEPALIVE)
            for name in ("tcp_keepalives_idle", "tcp_keepalives_interval", "tcp_keepalives_count"):
                # The server's side of it: it holds the lead of a relay whose machine is gone until it notices.
                self._connection.execute(f"SET {name} = {KEEPALIVE[name.replace('tcp_', '')]}")
            self._connection.execute(f'LISTEN "{channel_of(self._alias)}"')
        return self._connection


def channel_of(alias: str) -> str:
    """The NOTIFY channel of a module's outbox."""
    return f"pangaea_outbox_{databases.schema_of(alias)}"


_events: dict[str, threading.Event] = {}
_events_guard = threading.Lock()


def _event(alias: str) -> threading.Event:
    with _events_guard:
        return _events.setdefault(alias, threading.Event())


def wake(alias: str) -> None:
    """Ring the bell of a module's relay in this process."""
    _event(alias).set()


class _EventBell(Bell):
    def __init__(self, alias: str) -> None:
        self._event = _event(alias)

    def lead(self) -> bool:
        return True

    def wait(self, seconds: float) -> None:
        self._event.wait(seconds)
        self._event.clear()

    def close(self) -> None:
        """Nothing is held."""
