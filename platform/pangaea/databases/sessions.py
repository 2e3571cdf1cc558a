"""PostgreSQL sessions of one's own, for what lasts exactly as long as a session: locks, and LISTEN.

They bypass Django's connections, and a pooler: behind one that lends a server's session for a transaction at a time, a
lock would stay with a session that goes on to serve others (DIRECT_DATABASE_URL).
"""

import os
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from hashlib import blake2b
from typing import Any, NamedTuple

import psycopg
from django.db import DEFAULT_DB_ALIAS, connections

from pangaea.databases import direct
from pangaea.errors import Misconfigured

KEEPALIVE = {
    "keepalives": 1,
    "keepalives_idle": 2,
    "keepalives_interval": 1,
    "keepalives_count": 3,
    "tcp_user_timeout": 5000,  # milliseconds; where it is set, it decides instead of the count
}
"""Either end gives a session up five seconds after the other one is gone: its locks are for others then."""


def lock_number(name: str) -> int:
    """A name as the signed 64-bit number that PostgreSQL's advisory locks take."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), signed=True)


def open_session(alias: str) -> "psycopg.Connection[Any]":
    """A session in autocommit mode that both ends give up soon after the other is gone; the caller closes it.

    Raises Misconfigured behind a pooler that lends a session for one transaction.
    """
    connection = direct.connect(alias, parameters=KEEPALIVE)
    try:
        _refuse_if_lent(alias, connection)
        _keep_alive(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _keep_alive(connection: "psycopg.Connection[Any]") -> None:
    """The server's side of it: it holds the locks of a process whose machine is gone until it notices."""
    for name in ("keepalives_idle", "keepalives_interval", "keepalives_count"):
        connection.execute(f"SET tcp_{name} = {KEEPALIVE[name]}")
    connection.execute(f"SET tcp_user_timeout = {KEEPALIVE['tcp_user_timeout']}")


_REMEDY = (
    "Between this process and the database of {alias!r} is a pooler that lends a session for one transaction, so that "
    "locks and LISTEN do not last: set {variable} to the database itself."
)


def _refuse_if_lent(alias: str, connection: "psycopg.Connection[Any]") -> None:
    """Raise Misconfigured where another transaction may get this connection's session: a pooler lends it."""
    session = _session_of(connection)
    if session == connection.info.backend_pid:  # the server itself was connected to
        return
    with closing(direct.connect(alias)) as other, other.transaction():
        # Either the other one has got the very session, or it has got another and this one may move on.
        if _session_of(other) == session or _session_of(connection) != session:
            raise Misconfigured(_REMEDY.format(alias=alias, variable=_direct_variable(alias)))


def _session_of(connection: "psycopg.Connection[Any]") -> int:
    ((pid,),) = connection.execute("SELECT pg_backend_pid()").fetchall()
    return int(pid)


def _direct_variable(alias: str) -> str:
    """The variable with the direct URL of an alias: where it has a role, it shares DATABASE_URL."""
    shares = alias == DEFAULT_DB_ALIAS or connections[alias].settings_dict["PANGAEA"]["role"]
    return "DIRECT_DATABASE_URL" if shares else f"{alias.upper()}_DIRECT_DATABASE_URL"


def try_lock(connection: "psycopg.Connection[Any]", name: str) -> bool:
    """Take the lock of that name unless another session holds it; it ends with the session, however that ends."""
    return connection.execute("SELECT pg_try_advisory_lock(%s)", [lock_number(name)]).fetchone() == (True,)


class Holder(NamedTuple):
    """Who holds a lock. `is_stranger`: its login may not become the role that owns the module's schema."""

    login: str
    pid: int
    is_stranger: bool


_HOLDER = """
SELECT usename, pid, NOT pg_has_role(usesysid, nspowner, 'MEMBER')
FROM pg_locks AS l JOIN pg_stat_activity USING (pid) JOIN pg_namespace ON nspname = current_schema()
WHERE locktype = 'advisory' AND granted AND objsubid = 1 AND ((classid::bigint << 32) | objid::bigint) = %s
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


def holder_of(connection: "psycopg.Connection[Any]", name: str) -> Holder | None:
    """Who holds the lock of that name: any login of the database can take any number."""
    row = connection.execute(_HOLDER, [lock_number(name)]).fetchone()
    return Holder(*row) if row else None


@contextmanager
def alone(alias: str, name: str) -> Iterator[bool]:
    """True for one process at a time between entry and exit, also if it dies there; False for all others."""
    with closing(open_session(alias)) as connection:
        is_alone = try_lock(connection, name)
        try:
            yield is_alone
        finally:
            # The server ends a session some time after its connection was closed, and the next one may come at once.
            if is_alone:
                with suppress(psycopg.Error):
                    connection.execute("SELECT pg_advisory_unlock(%s)", [lock_number(name)])


def cut(connection: "psycopg.Connection[Any]") -> None:
    """Shut the connection's socket: a thread that waits for the server's answer gets an OperationalError instead."""
    with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as raw:
        raw.shutdown(socket.SHUT_RDWR)
