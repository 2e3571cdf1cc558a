"""Everything in which PostgreSQL and SQLite differ for the streams, in one place.

PostgreSQL: many writers, so keys are locked by advisory locks, the relay is woken by NOTIFY (a statement trigger on the
outbox) and one relay of several leads by holding a session lock. SQLite: one writer and one process, so none of that is
needed.
"""

import fcntl
import json
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import Error

from pangaea import databases

Sent = tuple[int, int, UUID]
"""The id of a stream's row, the position sent last and the id of the message there."""


class NewMessage(NamedTuple):
    """A row of the outbox as it is written."""

    message_id: UUID
    audience: str
    key: str
    name: str
    body: str
    created_at: datetime


Unplaced = tuple[int, str, int]
"""The id of an outbox row, its audience and its partition: a place but for the position."""

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
    def rows(self, connection: BaseDatabaseWrapper, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """The rows of a statement that every pass or batch needs, as the driver gives them; planned once."""

    @abstractmethod
    def any_of(self, texts: Iterable[str]) -> tuple[str, Any]:
        """What follows a column in SQL, `{column} {it}`, to find these in it; and its value."""

    @abstractmethod
    def lock_keys(self, connection: BaseDatabaseWrapper, keys: Sequence[str]) -> None:
        """Let one transaction at a time publish for each of these keys of the module, until it ends."""

    @abstractmethod
    def place(self, connection: BaseDatabaseWrapper, rows: Sequence[Unplaced]) -> None:
        """Give those of the rows that still have no position the next ones of their streams, in the order of their ids.

        One transaction under the locks of the stream rows, which makes this the only one to give positions until then.
        """

    @abstractmethod
    def settle(self, connection: BaseDatabaseWrapper, sent: Sequence[Sent]) -> None:
        """Note what the broker has, where it is further than was known."""

    @abstractmethod
    def bell(self, alias: str) -> Bell:
        """A bell on the outbox behind that alias."""

    @abstractmethod
    def append(self, connection: BaseDatabaseWrapper, row: NewMessage) -> None:
        """Lock the message's key, as `lock_keys` does, and put it into the outbox; the bell rings after the commit."""

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

    def rows(self, connection: BaseDatabaseWrapper, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        connection.ensure_connection()
        driver: psycopg.Connection[Any] = connection.connection
        # Behind a pooler of transactions the next one may find a server connection that has prepared nothing.
        if driver.prepare_threshold is None and not connection.settings_dict.get("DISABLE_SERVER_SIDE_CURSORS"):
            driver.prepare_threshold = 0
        with connection.wrap_database_errors:
            cursor = psycopg.Cursor(driver).execute(sql, values)
            return cursor.fetchall() if cursor.description else []

    def any_of(self, texts: Iterable[str]) -> tuple[str, Any]:
        return "= ANY (%s::text[])", list(texts)

    def lock_keys(self, connection: BaseDatabaseWrapper, keys: Sequence[str]) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pangaea_lock_keys(%s::text[])", [list(keys)])

    def place(self, connection: BaseDatabaseWrapper, rows: Sequence[Unplaced]) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pangaea_place(%s::bigint[], %s::smallint[])",
                [[row[0] for row in rows], [row[2] for row in rows]],
            )

    def settle(self, connection: BaseDatabaseWrapper, sent: Sequence[Sent]) -> None:
        ids, positions, message_ids = (list(column) for column in zip(*sent, strict=True))
        self.rows(
            connection,
            "UPDATE pangaea_stream SET sent = new.sent, sent_id = new.sent_id "
            "FROM unnest(%s::bigint[], %s::bigint[], %s::uuid[]) AS new (id, sent, sent_id) "
            "WHERE pangaea_stream.id = new.id AND pangaea_stream.sent < new.sent",
            ids,
            positions,
            message_ids,
        )

    def bell(self, alias: str) -> Bell:
        return _NotifyBell(alias)

    append_sql = """
        WITH locked AS MATERIALIZED (SELECT pangaea_lock_keys(ARRAY[%s]))
        INSERT INTO pangaea_outbox (message_id, audience, key, name, body, created_at)
        SELECT %s::uuid, %s, %s, %s, %s, %s::timestamptz FROM locked
    """

    def append(self, connection: BaseDatabaseWrapper, row: NewMessage) -> None:
        # In one statement, the lock first: the row's id is drawn for what `locked` has given. The trigger notifies.
        with connection.cursor() as cursor:
            cursor.execute(self.append_sql, [row.key, *row])

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

    def rows(self, connection: BaseDatabaseWrapper, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        with connection.cursor() as cursor:
            return list(cursor.execute(sql, values).fetchall())

    def any_of(self, texts: Iterable[str]) -> tuple[str, Any]:
        return "IN (SELECT value FROM json_each(%s))", json.dumps(list(texts))

    def lock_keys(self, connection: BaseDatabaseWrapper, keys: Sequence[str]) -> None:
        """Nothing to do: a transaction that writes is alone."""

    def place(self, connection: BaseDatabaseWrapper, rows: Sequence[Unplaced]) -> None:
        with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
            cursor.execute("SELECT audience, partition, head FROM pangaea_stream")
            heads = {(audience, partition): head for audience, partition, head in cursor.fetchall()}
            for row, audience, partition in rows:
                if (audience, partition) not in heads:  # its stream is gone; the next pass has another
                    continue
                cursor.execute(
                    "UPDATE pangaea_outbox SET partition = %s, position = %s WHERE id = %s AND position IS NULL",
                    [partition, heads[audience, partition] + 1, row],
                )
                heads[audience, partition] += cursor.rowcount
            cursor.executemany(
                "UPDATE pangaea_stream SET head = %s WHERE audience = %s AND partition = %s",
                [(head, *stream) for stream, head in heads.items()],
            )

    def settle(self, connection: BaseDatabaseWrapper, sent: Sequence[Sent]) -> None:
        with connection.cursor() as cursor:
            cursor.executemany(
                "UPDATE pangaea_stream SET sent = %s, sent_id = %s WHERE id = %s AND sent < %s",
                [(position, message_id.hex, stream, position) for stream, position, message_id in sent],
            )

    def bell(self, alias: str) -> Bell:
        return _EventBell(alias)

    def append(self, connection: BaseDatabaseWrapper, row: NewMessage) -> None:
        self.rows(
            connection,
            "INSERT INTO pangaea_outbox (message_id, audience, key, name, body, created_at) "
            "VALUES (%s, %s, %s, %s, %s, %s)",
            row.message_id.hex,
            *row[1:-1],
            connection.ops.adapt_datetimefield_value(row.created_at),
        )
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
