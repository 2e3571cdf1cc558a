"""PostgreSQL: many processes, many writers.

Keys are locked by advisory locks. A NOTIFY after the commit wakes the relay. The relay whose session holds the leader's
lock leads. A shadow is a second schema.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from copy import deepcopy
from datetime import timedelta
from functools import cache, partial
from typing import Any

import psycopg
from django.db import OperationalError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import sql

from pangaea.databases.aliases import schema_of, shadow_schema_of
from pangaea.databases.engines.base import (
    Engine,
    LateSequence,
    NewMessage,
    OldTransaction,
    RelaySession,
    Sent,
    Unsequenced,
)
from pangaea.databases.engines.postgresql import direct, notifier, old_transactions, row_versions, sequences, sessions
from pangaea.databases.engines.postgresql.entry import startup_options
from pangaea.databases.engines.postgresql.relay_session import open_relay_session
from pangaea.errors import Misconfigured


class PostgreSQL(Engine):
    """The engine of all deployments."""

    # Statements

    def rows(self, connection: BaseDatabaseWrapper, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        with connection.wrap_database_errors:
            cursor = self._preparing(connection).execute(sql, values)
            return cursor.fetchall() if cursor.pgresult and cursor.pgresult.nfields else []

    def _preparing(self, connection: BaseDatabaseWrapper) -> "psycopg.Cursor[Any]":
        # As Django does before a cursor: the server may have ended an idle session.
        connection.close_if_health_check_failed()
        connection.ensure_connection()
        driver: psycopg.Connection[Any] = connection.connection
        # Behind a transaction pooler, the next transaction may get a server connection without prepared statements.
        if driver.prepare_threshold is None and not connection.settings_dict.get("DISABLE_SERVER_SIDE_CURSORS"):
            driver.prepare_threshold = 0
        return psycopg.Cursor(driver)

    def any_of(self, texts: Iterable[str]) -> tuple[str, Any]:
        return "= ANY (%s::text[])", list(texts)

    def limit_lock_waits(self, connection: BaseDatabaseWrapper, limit: timedelta) -> None:
        with connection.cursor() as cursor:
            milliseconds = str(round(limit.total_seconds() * 1000))
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", [milliseconds])

    @contextmanager
    def exclusive_transaction(
        self, connection: BaseDatabaseWrapper, name: str, sql: str, *values: Any
    ) -> Iterator[list[tuple[Any, ...]] | None]:
        # One round trip, but two statements: one statement would read from a snapshot that is older than its lock, and
        # miss what the former holder has committed. The seed separates these locks from those of keys of messages.
        locking = "SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 1));"
        with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
            cursor.execute(f"{locking} {sql}", [f"{schema_of(connection.alias)}/{name}", *values])
            (is_alone,) = cursor.fetchone()
            cursor.nextset()
            rows = cursor.fetchall()
            yield rows if is_alone or rows else None

    def is_read_only(self, connection: BaseDatabaseWrapper) -> bool:
        return self.rows(connection, "SELECT current_setting('transaction_read_only')") != [("off",)]

    # Versions of rows

    def version_triggers(self, connection: BaseDatabaseWrapper) -> set[tuple[str, str]]:
        return row_versions.triggers(connection)

    def create_version_trigger(self, connection: BaseDatabaseWrapper, table: str, column: str) -> None:
        row_versions.create_trigger(connection, table, column)

    def drop_version_trigger(self, connection: BaseDatabaseWrapper, table: str) -> None:
        row_versions.drop_trigger(connection, table)

    # Publishing

    def lock_keys(self, connection: BaseDatabaseWrapper, keys: Sequence[str]) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pangaea_lock_keys(%s::text[])", [list(keys)])

    append_sql = """
        WITH locked AS MATERIALIZED (SELECT pangaea_lock_keys(ARRAY[%s]))
        INSERT INTO pangaea_outbox (message_id, audience, key, name, body, created_at)
        SELECT %s::uuid, %s, %s, %s, %s, %s::timestamptz FROM locked
    """

    def append(self, connection: BaseDatabaseWrapper, row: NewMessage) -> None:
        # One statement, which takes the lock first: the row's id is drawn after `locked` has returned its row.
        # `_prepare_cursor` adds the statement to Django's query log, like other statements. No public method does.
        with connection._prepare_cursor(self._preparing(connection)) as cursor:  # type: ignore[attr-defined] # noqa: SLF001
            try:
                cursor.execute(self.append_sql, [row.key, *row])
            except OperationalError as error:
                if isinstance(error.__cause__, psycopg.errors.LockNotAvailable):
                    lock = f"{schema_of(connection.alias)}/{row.key}"
                    raise OperationalError(_KEY_IS_LOCKED.format(key=row.key, lock=lock)) from error
                raise

    def wake_after_commit(self, connection: BaseDatabaseWrapper) -> None:
        wake = _waking(connection.alias)
        waiting = connection.run_on_commit
        # One wake-up per transaction suffices, unless it was registered in another savepoint, which may be rolled back.
        if not waiting or waiting[-1][:2] != (set(connection.savepoint_ids), wake):
            transaction.on_commit(wake, using=connection.alias, robust=True)

    def wake(self, alias: str) -> None:
        notifier.wake(alias)

    # Relaying

    def relay_session(self, alias: str) -> RelaySession:
        return open_relay_session(alias)

    def sequence(self, connection: BaseDatabaseWrapper, rows: Sequence[Unsequenced]) -> None:
        ids, partitions = [row[0] for row in rows], [row[2] for row in rows]
        self.rows(connection, "SELECT pangaea_sequence(%s::bigint[], %s::smallint[])", ids, partitions)

    def settle(self, connection: BaseDatabaseWrapper, sent: Sequence[Sent]) -> None:
        ids, positions, message_ids = (list(column) for column in zip(*sent, strict=True))
        # Rows are locked in the order of `pangaea_sequence`: otherwise two relays that work at once could deadlock.
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

    # Operating

    def late_sequences(self, connection: BaseDatabaseWrapper) -> list[LateSequence]:
        return sequences.late(connection)

    def advance_sequences(self, connection: BaseDatabaseWrapper) -> None:
        sequences.advance(connection)

    @contextmanager
    def alone(self, alias: str, work: str) -> Iterator[bool]:
        name = f"{work} of {schema_of(alias)}"
        with closing(sessions.open_session(alias)) as session:
            with direct.marked(alias):
                is_alone = sessions.try_lock(session, name)
            try:
                yield is_alone
            finally:
                # The server frees a closed session's locks with a delay, during which the next caller would get False.
                if is_alone:
                    with suppress(psycopg.Error):
                        sessions.unlock(session, name)

    def transactions_older_than(self, alias: str, limit: timedelta) -> list[OldTransaction]:
        return old_transactions.older_than(alias, limit)

    # Shadows: a schema of the same database, owned by the module's role

    def create_shadow(self, connection: BaseDatabaseWrapper, name: str) -> str:
        schema = shadow_schema_of(connection.alias)
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", [schema])
            if not cursor.fetchone():
                text = f"The database has no schema {schema!r} to build a projection in: run `manage.py migrate`."
                raise Misconfigured(text)
        return ""

    def shadow_settings(self, connection: BaseDatabaseWrapper, token: str) -> dict[str, Any]:
        settings = deepcopy(connection.settings_dict)
        schema = settings["PANGAEA"]["schema"] = shadow_schema_of(connection.alias)
        settings["OPTIONS"]["options"] = startup_options(settings["PANGAEA"], schema)
        return settings

    def show_shadow(self, connection: BaseDatabaseWrapper, token: str) -> None:
        """Do nothing: workers see the tables once the transaction that created and filled them has committed."""

    def find_shadow(self, connection: BaseDatabaseWrapper, cursors: str) -> tuple[str, str] | None:
        table = f'"{shadow_schema_of(connection.alias)}".{cursors}'
        with connection.cursor() as cursor:
            cursor.execute("SELECT to_regclass(%s)::oid::text", [table])
            (token,) = cursor.fetchone()
            if token is None:
                return None
            cursor.execute(f"SELECT subscription FROM {table} LIMIT 1")  # noqa: S608 - names of ours
            row = cursor.fetchone()
        return (row[0], token) if row else None

    def remove_shadows(self, connection: BaseDatabaseWrapper) -> None:
        schema = shadow_schema_of(connection.alias)
        with direct.marked(connection.alias), closing(direct.connect(connection.alias)) as session:
            tables = session.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s", [schema]).fetchall()
            if tables:
                names = sql.SQL(", ").join(sql.Identifier(schema, table) for (table,) in tables)
                session.execute(sql.SQL("DROP TABLE {} CASCADE").format(names))

    def attached_shadow(self, connection: BaseDatabaseWrapper, token: str) -> AbstractContextManager[str]:
        return nullcontext(f'"{shadow_schema_of(connection.alias)}".')


_KEY_IS_LOCKED = (
    "Another session holds the lock of the key {key!r} (or of its whole module) longer than DATABASE_LOCK_TIMEOUT. "
    "While this lasts, pg_blocking_pids() of a session that waits for hashtextextended('{lock}', 0) names it; end it "
    "by pg_terminate_backend()."
)


@cache
def _waking(alias: str) -> Callable[[], None]:
    return partial(notifier.wake, alias)
