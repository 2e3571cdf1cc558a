"""What a relay or a worker does beside its work: a heartbeat, and what the broker may have lost declared again."""

import threading
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any

import structlog
from django.conf import settings
from django.db import connections

from pangaea.broker import celery_app, sending, topology
from pangaea.health.probe_server import ProbeServer
from pangaea.inbox import reports
from pangaea.telemetry.heartbeat import Heartbeat

log = structlog.get_logger()

PULSE = 1.0
"""Seconds between two heartbeats."""


class Upkeep:
    """Two threads of a process, between `start` and `stop`.

    One writes the heartbeat. The other asks the broker, and may wait for it: every QUEUE_CHECK it declares the queues
    and bindings again, and at the announcements' interval it reports the cursors of the modules in `listeners` to those
    they listen to. Whatever fails there is tried again; the work itself does not wait for it.
    """

    def __init__(
        self, process: str, *, heartbeat_file: str = "", health_port: int = 0, listeners: Sequence[str] = ()
    ) -> None:
        self.heartbeat = Heartbeat(process, heartbeat_file)
        self.probes = ProbeServer(self.heartbeat, health_port)
        self._listeners = listeners
        self._stop = threading.Event()
        self._failing: set[Callable[[], None]] = set()
        self._reports_due = 0.0
        self._threads = [
            threading.Thread(target=self._repeat, args=work, name=name, daemon=True)
            for name, *work in (
                ("heartbeat", self.heartbeat.write, PULSE),
                ("upkeep", self._verify, settings.PANGAEA.queue_check.total_seconds()),
            )
        ]

    def start(self, **_signal: Any) -> None:
        """Begin; a receiver of Celery's signals too."""
        for thread in self._threads:
            if not thread.is_alive():
                thread.start()

    def stop(self) -> None:
        """End, and take the heartbeat away."""
        self._stop.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(timeout=PULSE)
        self.heartbeat.remove()
        self.probes.stop()

    def _repeat(self, work: Callable[[], None], seconds: float) -> None:
        while not self._stop.is_set():
            self._try(work)
            self._stop.wait(seconds)

    def _verify(self) -> None:
        topology.declare(celery_app.app())
        if monotonic() < self._reports_due:
            return
        try:
            sending.send_reports(
                celery_app.app(), [report for label in self._listeners for report in reports.of(label)]
            )
        finally:
            connections.close_all()
        self._reports_due = monotonic() + settings.PANGAEA.announce_at_most.total_seconds()

    def _try(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - whatever it is, this thread is needed when it is over
            if work not in self._failing:
                log.warning("upkeep fails", work=work.__name__.strip("_"), error=str(error) or type(error).__name__)
            self._failing.add(work)
        else:
            self._failing.discard(work)
