"""Whether this process may be sent requests.

A process is ready if its databases answer and have their migrations, its broker has its queues, it has keys to verify
tokens with, the disks that it writes to have room, and it is not shutting down.

Conditions that need an operator, like a dead letter or a stopped subscription, do not make it unready, because another
instance could do nothing about them. `manage.py streams --check` lists them.

Relays and workers are not ready while the broker does not answer. A web process that has declared its queues once keeps
serving without the broker: its messages wait in the outbox.
"""

import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import structlog
from celery import Celery
from django.conf import settings
from django.db import connections

from pangaea.broker import celery_app, topology
from pangaea.change_capture import triggers
from pangaea.databases import aliases, engines, entries, errors, migration_state
from pangaea.identity import token_keys

log = structlog.get_logger()
OK, PENDING, FAILING, UNKNOWN, STOPPING = "ok", "pending", "failing", "unknown", "stopping"
MEBIBYTE = 1 << 20
BROKER_TIMEOUT = 2.0
"""Seconds to wait for the broker: less than a probe's own time-out."""
BROKER_REMEMBERED = 1.0
"""Seconds for which the broker's last answer is reused, so that not every probe opens a connection."""
Checks = Mapping[str, str | Mapping[str, str]]


class Readiness:
    """The state of this process's readiness. Thread-safe: each result replaces the last one as a whole."""

    def __init__(
        self, *, celery: Callable[[], Celery] = celery_app.app, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._celery = celery
        self._clock = clock
        self._broker_answer: tuple[float, str] | None = None
        self._migrated: frozenset[str] = frozenset()
        self._declared = False
        self._stopping = False
        self._logged: tuple[bool, bool] | None = None
        self._lock = threading.Lock()
        self.has_been_ready = False

    def stop(self) -> None:
        """Make the process unready for good, whatever the checks find. Safe in a signal handler."""
        self._stopping = True

    def check(
        self, *, verifies_tokens: bool = True, needs_broker: bool = False, components_ready: bool = True
    ) -> tuple[bool, Checks]:
        """Whether this process is ready, and the result of each check in one word.

        When readiness changes, the reasons are logged. `components_ready`: whether all components of a relay or worker
        are ready.
        """
        if self._stopping:
            return False, {"process": STOPPING}
        reasons: dict[str, str] = {}
        database = {alias: self._database(alias, reasons) for alias in aliases.installed()}
        migrations = {alias: self._migrations(alias, database[alias], reasons) for alias in aliases.installed()}
        broker = self._broker_state(reasons)
        checks: dict[str, str | Mapping[str, str]] = {
            "database": database,
            "migrations": migrations,
            "broker": broker,
            "topology": self._topology(broker, reasons),
            "disk": self._disk(reasons),
        }
        if verifies_tokens:
            checks["keys"] = self._keys(reasons)
        failed = {name for name, state in checks.items() if not _is_ok(state)}
        ready = components_ready and (not failed or (failed == {"broker"} and not needs_broker))
        self._log_change(ready=ready, complete=not failed, reasons=reasons)
        return ready, checks

    def _database(self, alias: str, reasons: dict[str, str]) -> str:
        try:
            refusal = "it is read-only" if _is_read_only(alias) else ""
        except Exception as error:  # noqa: BLE001 - whatever the error, this process cannot serve
            reasons[f"database {alias}"] = f"{type(error).__name__}: {error}"
            return FAILING
        if not refusal and errors.was_full(alias):
            refusal = "it was full a moment ago"
        if refusal:
            reasons[f"database {alias}"] = refusal
        return FAILING if refusal else OK

    def _migrations(self, alias: str, database: str, reasons: dict[str, str]) -> str:
        if alias in self._migrated:
            return OK
        if database != OK:
            return UNKNOWN
        try:
            waiting = migration_state.unapplied(alias) or triggers.faults(alias)
        except Exception as error:  # noqa: BLE001 - as above
            reasons[f"migrations {alias}"] = f"{type(error).__name__}: {error}"
            return FAILING
        if waiting:
            reasons[f"migrations {alias}"] = f"not applied: {', '.join(waiting)}"
            return PENDING
        # Migrations are not reversed under a running process, and the check costs tens of milliseconds.
        with self._lock:
            self._migrated |= {alias}
        return OK

    def _broker_state(self, reasons: dict[str, str]) -> str:
        remembered = self._broker_answer
        if remembered is not None and self._clock() - remembered[0] < BROKER_REMEMBERED:
            return remembered[1]
        try:
            ask_broker(self._celery())
        except Exception as error:  # noqa: BLE001 - as above
            reasons["broker"] = f"{type(error).__name__}: {error}"
            state = FAILING
        else:
            state = OK
        self._broker_answer = (self._clock(), state)
        return state

    def _topology(self, broker: str, reasons: dict[str, str]) -> str:
        if self._declared:
            # Relay and worker declare the queues periodically; this process only has to verify once that it can.
            return OK
        if broker != OK:
            return UNKNOWN
        try:
            topology.declare(self._celery())
        except Exception as error:  # noqa: BLE001 - as above
            reasons["topology"] = f"{type(error).__name__}: {error}"
            return FAILING
        self._declared = True
        return OK

    def _disk(self, reasons: dict[str, str]) -> str:
        at_least = settings.PANGAEA.disk_free_at_least
        for folder in sorted(_written_to()):
            try:
                free = shutil.disk_usage(folder).free // MEBIBYTE
            except OSError as error:
                reasons["disk"] = f"{folder}: {error.strerror}"
                return FAILING
            if free < at_least:
                reasons["disk"] = f"{folder} has {free} MiB left; DISK_FREE_AT_LEAST is {at_least}"
                return FAILING
        return OK

    def _keys(self, reasons: dict[str, str]) -> str:
        try:
            if token_keys.available():
                return OK
            reasons["keys"] = f"{settings.PANGAEA.jwks_url} gives no keys"
        except Exception as error:  # noqa: BLE001 - as above
            reasons["keys"] = f"{type(error).__name__}: {error}"
        return FAILING

    def _log_change(self, *, ready: bool, complete: bool, reasons: Mapping[str, str]) -> None:
        with self._lock:
            now = ready, ready and complete
            changed = now != self._logged
            self._logged = now
            self.has_been_ready |= ready
        fields = {name.replace(" ", "_"): reason for name, reason in reasons.items()}
        if changed and ready and complete:
            log.info("process became ready")
        elif changed and ready:
            log.warning("process became ready without its broker", **fields)
        elif changed:
            log.warning("process became unready", **fields)


def _is_read_only(alias: str) -> bool:
    connection, engine = connections[alias], engines.of(alias)
    if not engine.is_read_only(connection):
        return False
    if not connection.in_atomic_block:
        # A session that began while the database was read-only may stay read-only.
        connection.close()
    return engine.is_read_only(connection)


def _is_ok(state: str | Mapping[str, str]) -> bool:
    return state == OK if isinstance(state, str) else set(state.values()) == {OK}


def ask_broker(celery: Celery) -> None:
    """Connect to the broker and disconnect. Raises if it does not answer within BROKER_TIMEOUT."""
    limits = {"socket_connect_timeout": BROKER_TIMEOUT, "socket_timeout": BROKER_TIMEOUT}  # all that Redis has
    options = {**celery.conf.broker_transport_options, **limits}
    with celery.connection_for_write(connect_timeout=BROKER_TIMEOUT, transport_options=options) as connection:
        connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0, timeout=BROKER_TIMEOUT)


def _written_to() -> set[Path]:
    """The folders in which this process writes: those of temporary files and of SQLite's files."""
    folders = {Path(tempfile.gettempdir())}
    for alias in aliases.installed():
        configuration = connections[alias].settings_dict
        if configuration["ENGINE"] == entries.SQLITE and Path(configuration["NAME"]).is_absolute():
            folders.add(Path(configuration["NAME"]).parent)
    return folders


state = Readiness()
"""The readiness of this process."""


def begin_shutdown() -> None:
    """Make /readyz answer 503, so that load balancers send no more requests. Requests that still arrive are served."""
    state.stop()
