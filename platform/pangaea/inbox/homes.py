"""Where a shadow lives: what PostgreSQL and SQLite do differently about it.

`connection` is always the one that serves the module.
"""

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from copy import deepcopy
from pathlib import Path
from typing import Any
from uuid import uuid4

from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import sql

from pangaea.databases import aliases, direct, entries, sessions
from pangaea.errors import Misconfigured
from pangaea.inbox.models import Cursor

MARK = ".shadow-"
UNFINISHED = ".part"
"""How the name of a shadow's file ends until the shadow is whole."""
BESIDE = ("-wal", "-shm", "-journal")
"""How SQLite names the files that it keeps beside one."""


class Home(ABC):
    """One engine's way to keep a shadow."""

    @abstractmethod
    def settings(self, connection: BaseDatabaseWrapper, token: str) -> dict[str, Any]:
        """Django's settings of a connection that sees the shadow and nothing else."""

    @abstractmethod
    def make(self, connection: BaseDatabaseWrapper, subscription: str) -> str:
        """Provide an empty place that no worker finds; its token. Raises Misconfigured when there can be none."""

    @abstractmethod
    def show(self, connection: BaseDatabaseWrapper, token: str) -> None:
        """Let workers find the shadow that `make` began: all of it has been committed, and no connection is open."""

    @abstractmethod
    def look(self, connection: BaseDatabaseWrapper) -> tuple[str, str] | None:
        """The name that the shadow's cursors have, and its token, which is another for each shadow; None without one.

        Raises DatabaseError when it goes in this moment.
        """

    @abstractmethod
    def clear(self, connection: BaseDatabaseWrapper) -> None:
        """Remove every shadow of the module, also one that a killed process left behind."""

    @abstractmethod
    def reachable_from(self, connection: BaseDatabaseWrapper, token: str) -> AbstractContextManager[str]:
        """Let the connection read the shadow's tables; gives the prefix of their names. Not inside a transaction."""

    @abstractmethod
    def alone(self, connection: BaseDatabaseWrapper) -> AbstractContextManager[bool]:
        """Hold what one process at a time can hold; False when another does."""


class PostgreSQL(Home):
    """A schema of the same database, owned by the module's role."""

    def settings(self, connection: BaseDatabaseWrapper, token: str) -> dict[str, Any]:
        settings = deepcopy(connection.settings_dict)
        schema = aliases.shadow_schema_of(connection.alias)
        settings["OPTIONS"]["options"] = entries.startup_options(settings["PANGAEA"], schema)
        return settings

    def make(self, connection: BaseDatabaseWrapper, subscription: str) -> str:
        schema = aliases.shadow_schema_of(connection.alias)
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", [schema])
            if not cursor.fetchone():
                text = f"The database has no schema {schema!r} to build a projection in: run manage.py migrate."
                raise Misconfigured(text)
        return ""

    def show(self, connection: BaseDatabaseWrapper, token: str) -> None:
        """Nothing to do: workers see the tables once the transaction that made and filled them has committed."""

    def look(self, connection: BaseDatabaseWrapper) -> tuple[str, str] | None:
        cursors = f'"{aliases.shadow_schema_of(connection.alias)}".{Cursor._meta.db_table}'
        with connection.cursor() as cursor:
            cursor.execute("SELECT to_regclass(%s)::oid::text", [cursors])
            (token,) = cursor.fetchone()
            if token is None:
                return None
            cursor.execute(f"SELECT subscription FROM {cursors} LIMIT 1")  # noqa: S608 - a name of ours
            row = cursor.fetchone()
        return (row[0], token) if row else None

    def clear(self, connection: BaseDatabaseWrapper) -> None:
        schema = aliases.shadow_schema_of(connection.alias)
        with closing(direct.connect(connection.alias)) as session:
            tables = session.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s", [schema]).fetchall()
            if tables:
                names = sql.SQL(", ").join(sql.Identifier(schema, table) for (table,) in tables)
                session.execute(sql.SQL("DROP TABLE {} CASCADE").format(names))

    def reachable_from(self, connection: BaseDatabaseWrapper, token: str) -> AbstractContextManager[str]:
        return nullcontext(f'"{aliases.shadow_schema_of(connection.alias)}".')

    def alone(self, connection: BaseDatabaseWrapper) -> AbstractContextManager[bool]:
        return sessions.alone(connection.alias, f"{aliases.schema_of(connection.alias)}/rebuild")


class SQLite(Home):
    """A file beside the module's, of another name for each shadow: who still has an old one open does no harm."""

    def settings(self, connection: BaseDatabaseWrapper, token: str) -> dict[str, Any]:
        # Opened late, after the shadow is gone, the file must not come into being again.
        return deepcopy(connection.settings_dict) | {"NAME": f"{_file(connection, token).as_uri()}?mode=rw"}

    def make(self, connection: BaseDatabaseWrapper, subscription: str) -> str:
        token = f"{uuid4().hex}-{subscription}{UNFINISHED}"
        _file(connection, token).touch()
        return token

    def show(self, connection: BaseDatabaseWrapper, token: str) -> None:
        _file(connection, token).rename(_file(connection, token.removesuffix(UNFINISHED)))

    def look(self, connection: BaseDatabaseWrapper) -> tuple[str, str] | None:
        for path in files_of(connection):
            token = path.name.rpartition(MARK)[2]
            if not token.endswith((*BESIDE, UNFINISHED)):
                return token.partition("-")[2], token
        return None

    def clear(self, connection: BaseDatabaseWrapper) -> None:
        for left in files_of(connection):
            left.unlink(missing_ok=True)

    @contextmanager
    def reachable_from(self, connection: BaseDatabaseWrapper, token: str) -> Iterator[str]:
        with connection.cursor() as cursor:
            cursor.execute("ATTACH DATABASE %s AS shadow", [f"{_file(connection, token).as_uri()}?mode=ro"])
        try:
            yield '"shadow".'
        finally:
            with connection.cursor() as cursor:
                cursor.execute("DETACH DATABASE shadow")

    @contextmanager
    def alone(self, connection: BaseDatabaseWrapper) -> Iterator[bool]:
        # A lock on a file that holds nothing else: it ends with the process, on every operating system.
        path = f"{connection.settings_dict['NAME']}.rebuild"
        with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as lock:
            try:
                lock.execute("BEGIN EXCLUSIVE")
            except sqlite3.OperationalError:
                yield False
            else:
                yield True


def files_of(connection: BaseDatabaseWrapper) -> list[Path]:
    """The files of the shadows of an SQLite module."""
    path = Path(connection.settings_dict["NAME"]).absolute()
    return list(path.parent.glob(f"{path.name}{MARK}*"))


def _file(connection: BaseDatabaseWrapper, token: str) -> Path:
    path = Path(connection.settings_dict["NAME"]).absolute()
    return path.with_name(f"{path.name}{MARK}{token}")


_homes: dict[str, Home] = {"postgresql": PostgreSQL(), "sqlite": SQLite()}


def of(connection: BaseDatabaseWrapper) -> Home:
    """The engine's way behind that connection."""
    return _homes[connection.vendor]
