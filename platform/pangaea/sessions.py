"""PostgreSQL sessions of one's own, for what lasts exactly as long as a session: locks, and LISTEN.

They bypass Django's connections, and a pooler: behind one that lends a server's session for a transaction at a time, a
lock would stay with a session that goes on to serve others.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from hashlib import blake2b
from typing import Any

import psycopg

from pangaea import databases

KEEPALIVE = {
    "keepalives": 1,
    "keepalives_idle": 2,
    "keepalives_interval": 1,
    "keepalives_count": 3,
    "tcp_user_timeout": 5000,  # milliseconds; where it is set, it decides instead of the count
}
"""A session that only waits is found to be half open after five seconds; else after the system's two hours."""


def lock_number(name: str) -> int:
    """A name as the signed 64-bit number that PostgreSQL's advisory locks take."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), signed=True)


def open_session(alias: str) -> "psycopg.Connection[Any]":
    """A session in autocommit mode that both ends give up soon after the other is gone; the caller closes it."""
    connection = databases.connect_directly(alias, parameters=KEEPALIVE)
    for name in ("keepalives_idle", "keepalives_interval", "keepalives_count"):
        # The server's side of it: it holds the locks of a process whose machine is gone until it notices.
        connection.execute(f"SET tcp_{name} = {KEEPALIVE[name]}")
    connection.execute(f"SET tcp_user_timeout = {KEEPALIVE['tcp_user_timeout']}")
    return connection


def try_lock(connection: "psycopg.Connection[Any]", name: str) -> bool:
    """Take the lock of that name unless another session holds it; it ends with the session, however that ends."""
    return connection.execute("SELECT pg_try_advisory_lock(%s)", [lock_number(name)]).fetchone() == (True,)


@contextmanager
def alone(alias: str, name: str) -> Iterator[bool]:
    """True for one process at a time between entry and exit, also if it dies there; False for all others."""
    with closing(open_session(alias)) as connection:
        yield try_lock(connection, name)


def cut(connection: "psycopg.Connection[Any]") -> None:
    """Shut the connection's socket: a thread that waits for the server's answer gets an OperationalError instead."""
    with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as raw:
        raw.shutdown(socket.SHUT_RDWR)
