"""What a relay holds on its module's database: the lead, and what wakes it."""

import threading
from abc import ABC, abstractmethod
from typing import Any

import psycopg

from pangaea.databases import aliases, sessions


class RelaySession(ABC):
    """Belongs to one thread."""

    @abstractmethod
    def lead(self) -> bool:
        """Whether this relay is the one that leads its module; tries to become it."""

    @abstractmethod
    def leader(self) -> sessions.Holder | None:
        """Who holds the lead, where that is another session."""

    @abstractmethod
    def wait(self, seconds: float) -> bool:
        """For the leader: return when a commit has published or asked for something (True), or the time is over."""

    @abstractmethod
    def close(self) -> None:
        """Give up the lead and the connection."""


class ListeningSession(RelaySession):
    """PostgreSQL: the lead is a session's lock, and that session listens. A standby is not woken."""

    def __init__(self, alias: str) -> None:
        self._alias = alias
        self._connection: psycopg.Connection[Any] | None = None
        self._leads = False

    def lead(self) -> bool:
        connection = self._open()
        if not self._leads and sessions.try_lock(connection, lead_of(self._alias)):
            connection.execute(f'LISTEN "{channel_of(self._alias)}"')
            self._leads = True
        return self._leads

    def leader(self) -> sessions.Holder | None:
        return sessions.holder_of(self._open(), lead_of(self._alias))

    def wait(self, seconds: float) -> bool:
        # Many commits notify many times; one pass answers them all.
        return any(True for _ in self._open().notifies(timeout=seconds, stop_after=1))

    def close(self) -> None:
        connection, self._connection, self._leads = self._connection, None, False
        if connection is not None:
            connection.close()

    def _open(self) -> "psycopg.Connection[Any]":
        if self._connection is None or self._connection.closed:
            self._leads = False
            self._connection = sessions.open_session(self._alias)
        return self._connection


def lead_of(alias: str) -> str:
    """The name of the lock that the leader of a module holds."""
    # No "<module>/<key>", the name of a key's lock.
    return f"relay of {aliases.schema_of(alias)}"


def channel_of(alias: str) -> str:
    """The NOTIFY channel of a module's relay."""
    return f"pangaea_outbox_{aliases.schema_of(alias)}"


_events: dict[str, threading.Event] = {}
_events_guard = threading.Lock()


def _event(alias: str) -> threading.Event:
    with _events_guard:
        return _events.setdefault(alias, threading.Event())


def wake_here(alias: str) -> None:
    """Wake a module's relay in this process."""
    _event(alias).set()


class LocalSession(RelaySession):
    """SQLite: one process, whose only relay leads."""

    def __init__(self, alias: str) -> None:
        self._event = _event(alias)

    def lead(self) -> bool:
        return True

    def leader(self) -> sessions.Holder | None:
        return None

    def wait(self, seconds: float) -> bool:
        is_woken = self._event.wait(seconds)
        self._event.clear()
        return is_woken

    def close(self) -> None:
        """Nothing is held."""
