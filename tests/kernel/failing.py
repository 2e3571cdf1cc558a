"""Errors of a database, raised by the module's own connection."""

import os
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connections

from pangaea.databases.engines.postgresql import direct
from pangaea.databases.engines.sqlite.fair_lock import lock_of
from pangaea.testing import free_port
from tests.kernel.pipeline import LISTENER

DEADLOCK, READ_ONLY, FULL, TIME_OUT, NO_COLUMN = "40P01", "25006", "53100", "57014", "42703"
_ON_SQLITE = {
    DEADLOCK: ("database is locked", sqlite3.SQLITE_BUSY),
    READ_ONLY: ("attempt to write a readonly database", sqlite3.SQLITE_READONLY),
    FULL: ("database or disk is full", sqlite3.SQLITE_FULL),
    NO_COLUMN: ("no such column: removed", sqlite3.SQLITE_ERROR),
}


def fail_by(sqlstate: str, alias: str = LISTENER) -> None:
    """Raise the error that the alias's database raises with that SQLSTATE, from its own connection."""
    if connections[alias].vendor == "postgresql":
        with connections[alias].cursor() as cursor:
            cursor.execute(f"DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{sqlstate}', MESSAGE = 'by a test'; END $$")
    text, code = _ON_SQLITE[sqlstate]
    error = sqlite3.OperationalError(text)
    error.sqlite_errorcode = code
    with connections[alias].wrap_database_errors:
        raise error


def fail_at_commit_by(sqlstate: str, alias: str = LISTENER) -> None:
    """Let the alias's transaction end with that SQLSTATE at its COMMIT (PostgreSQL)."""
    with connections[alias].cursor() as cursor:
        cursor.execute(
            "CREATE TEMP TABLE doomed (number integer) ON COMMIT DROP; "
            "CREATE FUNCTION pg_temp.fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            "RAISE EXCEPTION USING ERRCODE = TG_ARGV[0], MESSAGE = 'by a test'; END $$; "
            "CREATE CONSTRAINT TRIGGER fails AFTER INSERT ON doomed DEFERRABLE INITIALLY DEFERRED "
            f"FOR EACH ROW EXECUTE FUNCTION pg_temp.fail('{sqlstate}')"
        )
        cursor.execute("INSERT INTO doomed VALUES (1)")


def break_connection(alias: str = LISTENER) -> None:
    """Shut the connection's socket, so that its next statement fails without an SQLSTATE (PostgreSQL)."""
    with socket.socket(fileno=os.dup(connections[alias].connection.fileno())) as duplicate:
        duplicate.shutdown(socket.SHUT_RDWR)


@contextmanager
def read_only(alias: str) -> Iterator[None]:
    """Let the alias's database refuse writes while the context lasts, as after a failover (PostgreSQL)."""
    name = connections[alias].settings_dict["NAME"]

    def change(statement: str) -> None:
        with direct.connect(alias, as_role=False) as connection:
            connection.execute("SET default_transaction_read_only = off")
            connection.execute(statement.format(name))
        connections.close_all()

    change("ALTER DATABASE {} SET default_transaction_read_only = on")
    try:
        yield
    finally:
        change("ALTER DATABASE {} RESET default_transaction_read_only")


@contextmanager
def not_now(alias: str) -> Iterator[None]:
    """Let writes of the alias's database fail while the context lasts: it is read-only, or on SQLite busy."""
    connection = connections[alias]
    if connection.vendor == "postgresql":
        with read_only(alias):
            yield
        return
    lock = lock_of(str(connection.settings_dict["NAME"]))
    before = connection.settings_dict["OPTIONS"]["timeout"]
    connection.settings_dict["OPTIONS"]["timeout"] = 0.01
    assert lock.acquire(1)
    try:
        yield
    finally:
        lock.release()
        connection.settings_dict["OPTIONS"]["timeout"] = before


@contextmanager
def unreachable(alias: str) -> Iterator[None]:
    """Let the alias's connections be ended, and refuse new ones, while the context lasts (PostgreSQL)."""
    entry = connections[alias].settings_dict
    before = entry["PORT"]
    entry["PORT"] = free_port()
    connections[alias].close()
    try:
        yield
    finally:
        entry["PORT"] = before
        connections[alias].close()
