"""SQLite: one process, one writer at a time, so most locks are not needed."""

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from copy import deepcopy
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from pangaea.databases.engines.base import (
    Engine,
    LateSequence,
    NewMessage,
    OldTransaction,
    RelaySession,
    Sent,
    Unsequenced,
)
from pangaea.databases.engines.sqlite import relay_session
from pangaea.databases.engines.sqlite.held_names import HeldNames

VERSION = "pangaea_version_"
"""The prefix of the triggers of versions; after it, a column and its table."""
SHADOW = ".shadow-"
UNFINISHED = ".part"
"""The suffix of a shadow's file until the shadow is complete."""
ACCOMPANYING = ("-wal", "-shm", "-journal")
"""The suffixes of the files that SQLite keeps beside a database."""


class SQLite(Engine):
    """The engine of the profile `local`."""

    # SQLite also stores text that is not UTF-8, which cannot be fetched as text.
    body_sql = "CAST(body AS blob)"

    def __init__(self) -> None:
        self._held_names = HeldNames()

    # Statements

    def rows(self, connection: BaseDatabaseWrapper, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        with connection.cursor() as cursor:
            return list(cursor.execute(sql, values).fetchall())

    def any_of(self, texts: Iterable[str]) -> tuple[str, Any]:
        return "IN (SELECT value FROM json_each(%s))", json.dumps(list(texts))

    def limit_lock_waits(self, connection: BaseDatabaseWrapper, limit: timedelta) -> None:
        """Do nothing: a transaction that has begun holds the lock on the whole file."""

    @contextmanager
    def exclusive_transaction(
        self, connection: BaseDatabaseWrapper, name: str, sql: str, *values: Any
    ) -> Iterator[list[tuple[Any, ...]] | None]:
        # Entered before the transaction begins: a second one would wait for the first one's lock on the file.
        with self._held_names.held(str(connection.settings_dict["NAME"]), name) as is_alone:
            if is_alone or self.rows(connection, sql, *values):
                with transaction.atomic(using=connection.alias):
                    yield self.rows(connection, sql, *values)
            else:
                yield None

    def is_read_only(self, connection: BaseDatabaseWrapper) -> bool:
        self.rows(connection, "SELECT 1")
        path = Path(connection.settings_dict["NAME"])
        return path.exists() and not os.access(path, os.W_OK)

    # Versions of rows

    def version_triggers(self, connection: BaseDatabaseWrapper) -> set[tuple[str, str]]:
        found = self.rows(
            connection,
            "SELECT tbl_name, name FROM sqlite_master WHERE type = 'trigger' AND substr(name, 1, %s) = %s",
            len(VERSION),
            VERSION,
        )
        return {(table, name.removeprefix(VERSION).removesuffix(f"_{table}")) for table, name in found}

    def create_version_trigger(self, connection: BaseDatabaseWrapper, table: str, column: str) -> None:
        # The condition also ends the recursion: recursive triggers are on (see `entry`).
        quote = connection.ops.quote_name
        name, on, version = quote(f"{VERSION}{column}_{table}"), quote(table), quote(column)
        raising = f"UPDATE {on} SET {version} = OLD.{version} + 1 WHERE rowid = NEW.rowid"  # noqa: S608 - a model's names
        when = f"WHEN NEW.{version} <= OLD.{version}"
        self.rows(connection, f"CREATE TRIGGER {name} AFTER UPDATE ON {on} {when} BEGIN {raising}; END")

    def drop_version_trigger(self, connection: BaseDatabaseWrapper, table: str) -> None:
        for owner, column in self.version_triggers(connection):
            if owner == table:
                self.rows(connection, f"DROP TRIGGER {connection.ops.quote_name(f'{VERSION}{column}_{table}')}")

    # Publishing

    def lock_keys(self, connection: BaseDatabaseWrapper, keys: Sequence[str]) -> None:
        """Do nothing: only one transaction at a time may write."""

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
        """Do nothing: every commit that changed something wakes the relay (see `base`)."""

    def wake(self, alias: str) -> None:
        relay_session.wake(alias)

    # Relaying

    def relay_session(self, alias: str) -> RelaySession:
        return relay_session.open_relay_session(alias)

    def sequence(self, connection: BaseDatabaseWrapper, rows: Sequence[Unsequenced]) -> None:
        with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
            cursor.execute("SELECT audience, partition, head FROM pangaea_stream")
            heads = {(audience, partition): head for audience, partition, head in cursor.fetchall()}
            for row, audience, partition in rows:
                if (audience, partition) not in heads:  # the stream was deleted; the next pass creates it again
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

    # Operating

    def late_sequences(self, connection: BaseDatabaseWrapper) -> list[LateSequence]:
        """Return none: SQLite continues after a table's highest id."""
        return []

    def advance_sequences(self, connection: BaseDatabaseWrapper) -> None:
        """Do nothing, as above."""

    @contextmanager
    def alone(self, alias: str, work: str) -> Iterator[bool]:
        # SQLite's lock on an empty file of its own ends with the process, on every operating system.
        path = f"{connections[alias].settings_dict['NAME']}.{work}.lock"
        with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as lock:
            try:
                lock.execute("BEGIN EXCLUSIVE")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                    raise
                yield False
            else:
                yield True

    def transactions_older_than(self, alias: str, limit: timedelta) -> list[OldTransaction]:
        """Return none: the time-out of waiting writers bounds a transaction that writes."""
        return []

    # Shadows: files beside the module's, each with its own name, so that late readers of a removed one do no harm

    def create_shadow(self, connection: BaseDatabaseWrapper, name: str) -> str:
        token = f"{uuid4().hex}-{name}{UNFINISHED}"
        _shadow_file(connection, token).touch()
        return token

    def shadow_settings(self, connection: BaseDatabaseWrapper, token: str) -> dict[str, Any]:
        # mode=rw: a connection that opens after the shadow was removed must not create the file again.
        return deepcopy(connection.settings_dict) | {"NAME": f"{_shadow_file(connection, token).as_uri()}?mode=rw"}

    def show_shadow(self, connection: BaseDatabaseWrapper, token: str) -> None:
        _shadow_file(connection, token).rename(_shadow_file(connection, token.removesuffix(UNFINISHED)))

    def find_shadow(self, connection: BaseDatabaseWrapper, cursors: str) -> tuple[str, str] | None:
        for path in shadow_files(connection):
            token = path.name.rpartition(SHADOW)[2]
            if not token.endswith((*ACCOMPANYING, UNFINISHED)):
                return token.partition("-")[2], token
        return None

    def remove_shadows(self, connection: BaseDatabaseWrapper) -> None:
        for path in shadow_files(connection):
            path.unlink(missing_ok=True)

    @contextmanager
    def attached_shadow(self, connection: BaseDatabaseWrapper, token: str) -> Iterator[str]:
        with connection.cursor() as cursor:
            cursor.execute("ATTACH DATABASE %s AS shadow", [f"{_shadow_file(connection, token).as_uri()}?mode=ro"])
        try:
            yield '"shadow".'
        finally:
            with connection.cursor() as cursor:
                cursor.execute("DETACH DATABASE shadow")


def shadow_files(connection: BaseDatabaseWrapper) -> list[Path]:
    """The files of the module's shadows."""
    path = Path(connection.settings_dict["NAME"]).absolute()
    return list(path.parent.glob(f"{path.name}{SHADOW}*"))


def _shadow_file(connection: BaseDatabaseWrapper, token: str) -> Path:
    path = Path(connection.settings_dict["NAME"]).absolute()
    return path.with_name(f"{path.name}{SHADOW}{token}")
