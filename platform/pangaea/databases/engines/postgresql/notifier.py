"""Wakes relays after a commit: each process has a thread and a connection per PostgreSQL database that send NOTIFY.

A NOTIFY in the publishing transaction would hold a lock of the whole server until the commit is flushed, so that
commits would wait for each other. A wake-up may be lost if the process crashes or the database does not answer; the
relay's poll finds the rows anyway. Only this thread waits for the database.
"""

import atexit
import os
import threading
from collections.abc import Hashable
from contextlib import suppress
from time import monotonic
from typing import Any

import psycopg
import structlog

from pangaea.databases.engines.postgresql import direct, sessions
from pangaea.databases.engines.postgresql.relay_session import channel_of

log = structlog.get_logger()

PAUSE_FACTOR = 4
"""The pause after a NOTIFY as a multiple of its duration. Commits during the pause share the next NOTIFY. The thread is
busy for at most a fifth of the time, and a slow server gets fewer requests."""
NOTIFY_MAX_PAUSE = 0.02
"""The longest pause after a NOTIFY, in seconds."""
RETRY_PAUSE = 1.0
"""Seconds without another NOTIFY after a failed one."""
REQUEST_TIMEOUT = 5.0
"""Seconds after which a connection whose server does not answer is replaced."""
CLOSE_TIMEOUT = 1.0
"""Seconds that an ending process waits for its last NOTIFY."""

NOTIFY = "SELECT pg_notify(channel, '') FROM unnest(%s::text[]) AS channel"


class Notifier:
    """Sends the wake-ups of one process to the relays at one database. Thread-safe."""

    def __init__(self, alias: str) -> None:
        self._alias = alias
        self._guard = threading.Lock()
        self._channels: set[str] = set()
        self._woken = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._connection: psycopg.Connection[Any] | None = None
        self._asked_at: float | None = None
        self._fails = False

    def wake(self, channel: str) -> None:
        """Make the thread notify this channel soon. Returns at once."""
        with self._guard:
            self._channels.add(channel)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="notifier", daemon=True)
                self._thread.start()
        self._woken.set()
        asked_at, connection = self._asked_at, self._connection
        if asked_at is not None and connection is not None and monotonic() - asked_at > REQUEST_TIMEOUT:
            sessions.close_now(connection)

    def close(self) -> None:
        """Send the pending notifications, and end the thread."""
        self._closing.set()
        self._woken.set()
        if self._thread is not None:
            self._thread.join(timeout=CLOSE_TIMEOUT)

    def abandon(self) -> None:
        """Close a forked process's copy of the socket, which does not end the parent's connection."""
        if self._connection is not None:
            with suppress(OSError, psycopg.Error):
                os.close(self._connection.fileno())

    def _run(self) -> None:
        while not (self._closing.is_set() and not self._channels):
            self._woken.wait()
            self._woken.clear()
            with self._guard:
                channels, self._channels = self._channels, set()
            began = monotonic()
            is_sent = not channels or self._notify(sorted(channels))
            took = monotonic() - began
            self._closing.wait(min(took * PAUSE_FACTOR, NOTIFY_MAX_PAUSE) if is_sent else RETRY_PAUSE)
        self._disconnect()

    def _notify(self, channels: list[str]) -> bool:
        while True:
            is_new = self._connection is None
            try:
                self._send(channels)
            except Exception as error:  # noqa: BLE001 - the thread must survive any failure
                self._disconnect()
                if not is_new:  # the server may have been restarted since
                    continue
                if not self._fails:
                    log.warning("relay wake-up failed", database=self._alias, error=str(error))
                self._fails = True
                return False
            self._fails = False
            return True

    def _send(self, channels: list[str]) -> None:
        if self._connection is None:
            self._connection = direct.connect(self._alias, as_role=False, parameters=sessions.KEEPALIVE)
        self._asked_at = monotonic()
        try:
            self._connection.execute(NOTIFY, [channels])
        finally:
            self._asked_at = None

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


_notifiers: dict[Hashable, Notifier] = {}
_guard = threading.Lock()
_inherited: list[Notifier] = []
"""The parent process's notifiers, kept because psycopg warns about a connection that is deleted while open."""


def wake(alias: str) -> None:
    """Wake the module's relay, in whichever process it runs, soon after this returns."""
    address = direct.address(alias)
    notifier = _notifiers.get(address)
    if notifier is None:
        with _guard:
            notifier = _notifiers.setdefault(address, Notifier(alias))
    notifier.wake(channel_of(alias))


def close() -> None:
    """Send the pending notifications, and close all connections."""
    with _guard:
        notifiers = list(_notifiers.values())
        _notifiers.clear()
    for each in notifiers:
        each.close()


def _start_over() -> None:
    """Reset a forked process, which has no thread, and whose inherited connections the parent continues to use."""
    global _guard  # noqa: PLW0603 - the parent's lock may be held for ever
    _guard = threading.Lock()
    for each in _notifiers.values():
        each.abandon()
        _inherited.append(each)
    _notifiers.clear()


os.register_at_fork(after_in_child=_start_over)
atexit.register(close)
