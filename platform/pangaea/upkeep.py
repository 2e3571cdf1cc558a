"""What a relay or a worker does beside its work: a heartbeat, and what the broker may have lost declared again."""

import threading
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any

import structlog
from django.conf import settings
from django.db import connections

from pangaea import bus
from pangaea.heartbeat import Heartbeat
from pangaea.inbox import reports
from pangaea.probes import ProbeServer

log = structlog.get_logger()

PULSE = 1.0
"""Seconds between two heartbeats."""


class Upkeep:
    """A thread of a process, between `start` and `stop`.

    At the announcements' interval it declares the queues and bindings again, and reports the cursors of the modules in
    `listeners` to those they listen to. Whatever fails there is tried again; the work itself does not wait for it.
    """

    def __init__(
        self, process: str, *, heartbeat_file: str = "", health_port: int = 0, listeners: Sequence[str] = ()
    ) -> None:
        self.heartbeat = Heartbeat(process, heartbeat_file)
        self.probes = ProbeServer(self.heartbeat, health_port)
        self._listeners = listeners
        self._stop = threading.Event()
        self._failing: set[Callable[[], None]] = set()
        self._thread = threading.Thread(target=self._run, name="upkeep", daemon=True)

    def start(self, **_signal: Any) -> None:
        """Begin; a receiver of Celery's signals too."""
        if not self._thread.is_alive():
            self._thread.start()

    def stop(self) -> None:
        """End, and take the heartbeat away."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=PULSE)
        self.heartbeat.remove()
        self.probes.stop()

    def _run(self) -> None:
        due = monotonic()
        while not self._stop.is_set():
            self._try(self.heartbeat.write)
            if monotonic() >= due:
                self._try(self._verify)
                due = monotonic() + settings.PANGAEA.announce_at_most.total_seconds()
            self._stop.wait(PULSE)

    def _verify(self) -> None:
        bus.declare_topology(bus.app())
        try:
            bus.send_reports(bus.app(), [report for label in self._listeners for report in reports.of(label)])
        finally:
            connections.close_all()

    def _try(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - whatever it is, this thread is needed when it is over
            if work not in self._failing:
                log.warning("upkeep fails", work=work.__name__.strip("_"), error=str(error) or type(error).__name__)
            self._failing.add(work)
        else:
            self._failing.discard(work)
