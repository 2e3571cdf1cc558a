"""A relay's session: an advisory lock makes the relay the leader, and only the leader listens for wake-ups."""

from contextlib import AbstractContextManager
from typing import Any

import psycopg

from pangaea.databases import aliases
from pangaea.databases.engines.base import Holder, LeaderElection, RelaySession, RelayWakeup
from pangaea.databases.engines.postgresql import direct, sessions


def open_relay_session(alias: str) -> RelaySession:
    """A relay's session at this module's database. It connects at its first use, and again after a loss."""
    session = _Session(alias)
    return RelaySession(LockElection(session, alias), NotifyWakeup(session, alias), session.close)


def lock_of_leader(alias: str) -> str:
    """The name of the lock that the leader of a module holds."""
    # It differs from the name of every key's lock, "<module>/<key>".
    return f"relay of {aliases.schema_of(alias)}"


def channel_of(alias: str) -> str:
    """The NOTIFY channel of a module's relay."""
    return f"pangaea_outbox_{aliases.schema_of(alias)}"


class _Session:
    """One connection at a time. A reconnected session has neither the locks nor the LISTEN of the lost connection."""

    def __init__(self, alias: str) -> None:
        self._alias = alias
        self._connection: psycopg.Connection[Any] | None = None

    def connection(self) -> "psycopg.Connection[Any]":
        if self._connection is None or self._connection.closed:
            self._connection = sessions.open_session(self._alias)
        return self._connection

    def marked(self) -> AbstractContextManager[None]:
        return direct.marked(self._alias)

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


class LockElection(LeaderElection):
    """Leads while its session holds the leader's lock. The lock ends with the session, however the session ends."""

    def __init__(self, session: _Session, alias: str) -> None:
        self._session, self._lock = session, lock_of_leader(alias)
        self._leads_on: psycopg.Connection[Any] | None = None

    def lead(self) -> bool:
        connection = self._session.connection()
        with self._session.marked():
            if self._leads_on is not connection and sessions.try_lock(connection, self._lock):
                self._leads_on = connection
        return self._leads_on is connection

    def leader(self) -> Holder | None:
        with self._session.marked():
            return sessions.holder_of(self._session.connection(), self._lock)


class NotifyWakeup(RelayWakeup):
    """Waits for notifications on the module's channel."""

    def __init__(self, session: _Session, alias: str) -> None:
        self._session, self._channel = session, channel_of(alias)
        self._listens_on: psycopg.Connection[Any] | None = None

    def listen(self) -> None:
        connection = self._session.connection()
        if self._listens_on is not connection:
            with self._session.marked():
                connection.execute(f'LISTEN "{self._channel}"')
            self._listens_on = connection

    def wait(self, seconds: float) -> bool:
        # Many commits send many notifications; one pass serves them all.
        with self._session.marked():
            return any(True for _ in self._session.connection().notifies(timeout=seconds, stop_after=1))
