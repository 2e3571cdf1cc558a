"""Sessions that Django does not manage, for advisory locks and LISTEN, which last exactly as long as a session.

They bypass a pooler (DIRECT_DATABASE_URL). A pooler that lends a server's session for one transaction would leave the
lock with a session that other clients use next.
"""

import os
import socket
from contextlib import closing, suppress
from datetime import timedelta
from hashlib import blake2b
from typing import Any

import psycopg
from django.db import DEFAULT_DB_ALIAS, connections

from pangaea.databases.engines.base import Holder
from pangaea.databases.engines.postgresql import direct
from pangaea.databases.engines.postgresql.entry import answer_limits
from pangaea.errors import Misconfigured

ANSWER_TIMEOUT = timedelta(seconds=5)
"""The time after which either end gives up a session whose peer's machine has failed, which frees its locks."""
KEEPALIVE = {"keepalives": 1} | answer_limits(ANSWER_TIMEOUT)
"""The client's settings for ANSWER_TIMEOUT, as parameters of libpq."""


def lock_number(name: str) -> int:
    """A name as the signed 64-bit number that PostgreSQL's advisory locks take."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), signed=True)


def open_session(alias: str) -> "psycopg.Connection[Any]":
    """Open a session in autocommit mode, which the caller closes. Either end gives it up soon after its peer failed.

    Raises Misconfigured behind a pooler that lends a session for one transaction.
    """
    connection = direct.connect(alias, parameters=KEEPALIVE)
    try:
        with direct.marked(alias):
            _refuse_if_lent(alias, connection)
            _keep_alive(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _keep_alive(connection: "psycopg.Connection[Any]") -> None:
    """Set the server's time-outs: it holds a process's locks until it notices that the process's machine has failed.

    The session waits for hours where nothing happens, so idle_session_timeout does not apply to it.
    """
    for name, value in {**answer_limits(ANSWER_TIMEOUT, prefix="tcp_"), "idle_session_timeout": 0}.items():
        connection.execute(f"SET {name} = {value}")


_REMEDY = (
    "Between this process and the database of {alias!r} is a pooler that lends a session for one transaction, so that "
    "locks and LISTEN do not last: set {variable} to the database itself."
)


def _refuse_if_lent(alias: str, connection: "psycopg.Connection[Any]") -> None:
    """Raise Misconfigured if a pooler may lend this connection's session to another transaction."""
    session = _session_of(connection)
    if session == connection.info.backend_pid:  # no pooler in between
        return
    with closing(direct.connect(alias)) as other, other.transaction():
        # The pooler may lend this connection's session to the other one, or give this connection another.
        if _session_of(other) == session or _session_of(connection) != session:
            raise Misconfigured(_REMEDY.format(alias=alias, variable=_direct_variable(alias)))


def _session_of(connection: "psycopg.Connection[Any]") -> int:
    ((pid,),) = connection.execute("SELECT pg_backend_pid()").fetchall()
    return int(pid)


def _direct_variable(alias: str) -> str:
    """The variable with the direct URL of an alias. An alias with a role shares DATABASE_URL."""
    shares = alias == DEFAULT_DB_ALIAS or connections[alias].settings_dict["PANGAEA"]["role"]
    return "DIRECT_DATABASE_URL" if shares else f"{alias.upper()}_DIRECT_DATABASE_URL"


def try_lock(connection: "psycopg.Connection[Any]", name: str) -> bool:
    """Take the lock of this name unless another session holds it. The lock ends with the session, however that ends."""
    return connection.execute("SELECT pg_try_advisory_lock(%s)", [lock_number(name)]).fetchone() == (True,)


def unlock(connection: "psycopg.Connection[Any]", name: str) -> None:
    """Release the lock of this name, which the session holds."""
    connection.execute("SELECT pg_advisory_unlock(%s)", [lock_number(name)])


_HOLDER = """
SELECT usename, pid, NOT pg_has_role(usesysid, nspowner, 'MEMBER')
FROM pg_locks AS l JOIN pg_stat_activity USING (pid) JOIN pg_namespace ON nspname = current_schema()
WHERE locktype = 'advisory' AND granted AND objsubid = 1 AND ((classid::bigint << 32) | objid::bigint) = %s
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


def holder_of(connection: "psycopg.Connection[Any]", name: str) -> Holder | None:
    """The session that holds the lock of this name. It may be of any login: each can take any lock of the database."""
    row = connection.execute(_HOLDER, [lock_number(name)]).fetchone()
    return Holder(*row) if row else None


def close_now(connection: "psycopg.Connection[Any]") -> None:
    """Shut down the connection's socket: a thread that waits for the server gets an OperationalError."""
    with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as raw:
        raw.shutdown(socket.SHUT_RDWR)
