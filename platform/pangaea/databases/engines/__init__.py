"""Everything in which PostgreSQL and SQLite differ for the streams, in one place.

PostgreSQL: many writers, so keys are locked by advisory locks, the relay is woken by NOTIFY after a commit, and one
relay of several leads by holding a session lock. SQLite: one writer and one process, so none of that is needed.
"""

import fcntl
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timedelta
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
from django.db import OperationalError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from pangaea.databases import aliases, notifier, sessions
from pangaea.databases.relay_sessions import ListeningSession, LocalSession, RelaySession, wake_here

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


class Engine(ABC):
    """One database engine, seen by the streams."""

    body_sql = "body"
    """What reads the body of an outbox row, whatever its bytes are."""

    @abstractmethod
    def rows(self, connection: BaseDatabaseWrapper, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """The rows of a statement that every pass or batch needs, as the driver gives them; planned once."""

    @abstractmethod
    def any_of(self, texts: Iterable[str]) -> tuple[str, Any]:
        """What follows a column in SQL, `{column} {it}`, to find these in it; and its value."""

    @abstractmethod
    def limit_waits(self, connection: BaseDatabaseWrapper, limit: timedelta) -> None:
        """Let this transaction wait for a lock no longer than that; then its statement raises DatabaseError."""

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
    def relay_session(self, alias: str) -> RelaySession:
        """What a relay of the module behind that alias works with."""

    @abstractmethod
    def append(self, connection: BaseDatabaseWrapper, row: NewMessage) -> None:
        """Lock the message's key, as `lock_keys` does, and put it into the outbox."""

    @abstractmethod
    def wake_after_commit(self, connection: BaseDatabaseWrapper) -> None:
        """Wake the module's relay once this transaction has committed; at once outside of one. Cheap to repeat."""

    @abstractmethod
    def wake(self, alias: str) -> None:
        """Wake the relay of that module, wherever it runs."""

    @abstractmethod
    def alone(self, alias: str, work: str) -> AbstractContextManager[bool]:
        """True for one process at a time between entry and exit, also if it dies there; False for all others."""

    @abstractmethod
    def is_read_only(self, connection: BaseDatabaseWrapper) -> bool:
        """Whether the database takes no writes; asks it, and raises DatabaseError when it does not answer."""


class PostgreSQL(Engine):
    """Many processes, many writers."""

    def rows(self, connection: BaseDatabaseWrapper, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        with connection.wrap_database_errors:
            cursor = self._preparing(connection).execute(sql, values)
            return cursor.fetchall() if cursor.pgresult and cursor.pgresult.nfields else []

    def _preparing(self, connection: BaseDatabaseWrapper) -> "psycopg.Cursor[Any]":
        connection.ensure_connection()
        driver: psycopg.Connection[Any] = connection.connection
        # Behind a pooler of transactions the next one may find a server connection that has prepared nothing.
        if driver.prepare_threshold is None and not connection.settings_dict.get("DISABLE_SERVER_SIDE_CURSORS"):
            driver.prepare_threshold = 0
        return psycopg.Cursor(driver)

    def any_of(self, texts: Iterable[str]) -> tuple[str, Any]:
        return "= ANY (%s::text[])", list(texts)

    def limit_waits(self, connection: BaseDatabaseWrapper, limit: timedelta) -> None:
        with connection.cursor() as cursor:
            milliseconds = str(round(limit.total_seconds() * 1000))
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", [milliseconds])

    def lock_keys(self, connection: BaseDatabaseWrapper, keys: Sequence[str]) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pangaea_lock_keys(%s::text[])", [list(keys)])

    def place(self, connection: BaseDatabaseWrapper, rows: Sequence[Unplaced]) -> None:
        ids, partitions = [row[0] for row in rows], [row[2] for row in rows]
        self.rows(connection, "SELECT pangaea_place(%s::bigint[], %s::smallint[])", ids, partitions)

    def settle(self, connection: BaseDatabaseWrapper, sent: Sequence[Sent]) -> None:
        ids, positions, message_ids = (list(column) for column in zip(*sent, strict=True))
        # Rows are locked in the order in which `pangaea_place` locks them, or two relays at work could deadlock.
        self.rows(
            connection,
            "WITH locked AS MATERIALIZED "
            "(SELECT id FROM pangaea_stream WHERE id = ANY (%s::bigint[]) ORDER BY id FOR UPDATE) "
            "UPDATE pangaea_stream SET sent = new.sent, sent_id = new.sent_id "
            "FROM locked JOIN unnest(%s::bigint[], %s::bigint[], %s::uuid[]) AS new (id, sent, sent_id) USING (id) "
            "WHERE pangaea_stream.id = locked.id AND pangaea_stream.sent < new.sent",
            ids,
            ids,
            positions,
            message_ids,
        )

    def relay_session(self, alias: str) -> RelaySession:
        return ListeningSession(alias)

    append_sql = """
        WITH locked AS MATERIALIZED (SELECT pangaea_lock_keys(ARRAY[%s]))
        INSERT INTO pangaea_outbox (message_id, audience, key, name, body, created_at)
        SELECT %s::uuid, %s, %s, %s, %s, %s::timestamptz FROM locked
    """

    def append(self, connection: BaseDatabaseWrapper, row: NewMessage) -> None:
        # In one statement, the lock first: the row's id is drawn for what `locked` has given.
        # Django's query log has it, as it has a publisher's other statements. There is no public way to that.
        with connection._prepare_cursor(self._preparing(connection)) as cursor:  # type: ignore[attr-defined] # noqa: SLF001
            try:
                cursor.execute(self.append_sql, [row.key, *row])
            except OperationalError as error:
                if isinstance(error.__cause__, psycopg.errors.LockNotAvailable):
                    schema = aliases.schema_of(connection.alias)
                    raise OperationalError(_KEY_IS_LOCKED.format(key=row.key, lock=f"{schema}/{row.key}")) from error
                raise

    def wake_after_commit(self, connection: BaseDatabaseWrapper) -> None:
        wake = _waking(connection.alias)
        waiting = connection.run_on_commit
        # Of a transaction with many messages one is enough, unless a savepoint that may be rolled back has begun since.
        if not waiting or waiting[-1][:2] != (set(connection.savepoint_ids), wake):
            transaction.on_commit(wake, using=connection.alias, robust=True)

    def wake(self, alias: str) -> None:
        notifier.wake(alias)

    def alone(self, alias: str, work: str) -> AbstractContextManager[bool]:
        return sessions.alone(alias, f"{work} of {aliases.schema_of(alias)}")

    def is_read_only(self, connection: BaseDatabaseWrapper) -> bool:
        return self.rows(connection, "SELECT current_setting('transaction_read_only')") != [("off",)]


_KEY_IS_LOCKED = (
    "Another session holds the lock of the key {key!r} (or of its whole module) longer than DATABASE_LOCK_TIMEOUT. "
    "While this lasts, pg_blocking_pids() of a session that waits for hashtextextended('{lock}', 0) names it; end it "
    "by pg_terminate_backend()."
)


class SQLite(Engine):
    """One process, one writer at a time (see `databases.backends.sqlite`)."""

    # A text that is not UTF-8 can be stored here, and could not be fetched as one.
    body_sql = "CAST(body AS blob)"

    def rows(self, connection: BaseDatabaseWrapper, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        with connection.cursor() as cursor:
            return list(cursor.execute(sql, values).fetchall())

    def any_of(self, texts: Iterable[str]) -> tuple[str, Any]:
        return "IN (SELECT value FROM json_each(%s))", json.dumps(list(texts))

    def limit_waits(self, connection: BaseDatabaseWrapper, limit: timedelta) -> None:
        """Nothing to do: a transaction that has begun has the lock on the whole file."""

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

    def relay_session(self, alias: str) -> RelaySession:
        return LocalSession(alias)

    def append(self, connection: BaseDatabaseWrapper, row: NewMessage) -> None:
        self.rows(
            connection,
            "INSERT INTO pangaea_outbox (message_id, audience, key, name, body, created_at) "
            "VALUES (%s, %s, %s, %s, %s, %s)",
            row.message_id.hex,
            *row[1:-1],
            connection.ops.adapt_datetimefield_value(row.created_at),
        )

    def wake_after_commit(self, connection: BaseDatabaseWrapper) -> None:
        """Nothing to do: every commit that changed something wakes the relay (see `databases.backends.sqlite`)."""

    def wake(self, alias: str) -> None:
        wake_here(alias)

    @contextmanager
    def alone(self, alias: str, work: str) -> Iterator[bool]:
        with Path(f"{connections[alias].settings_dict['NAME']}.{work}.lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True

    def is_read_only(self, connection: BaseDatabaseWrapper) -> bool:
        self.rows(connection, "SELECT 1")
        path = Path(connection.settings_dict["NAME"])
        return path.exists() and not os.access(path, os.W_OK)


_engines: dict[str, Engine] = {"postgresql": PostgreSQL(), "sqlite": SQLite()}


def of(alias: str) -> Engine:
    """The engine behind an alias."""
    return _engines[connections[alias].vendor]


@cache
def _waking(alias: str) -> Callable[[], None]:
    return partial(notifier.wake, alias)
