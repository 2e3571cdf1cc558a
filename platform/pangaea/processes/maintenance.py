"""The background tasks of a relay or a worker: answer probes, declare queues, report cursors, prune."""

import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from time import monotonic
from typing import Any

import structlog
from django.conf import settings
from django.db import connections
from kombu.exceptions import OperationalError

from pangaea.api import idempotency_records
from pangaea.backoff import Backoff
from pangaea.broker import celery_app, sending, topology
from pangaea.health.probe_server import ProbeServer
from pangaea.inbox import reports
from pangaea.telemetry.components import Component, State

log = structlog.get_logger()

DECLARE_BACKOFF = Backoff(first=0.2, longest=5.0)
"""The pauses between two attempts to declare the queues when a process starts."""
PRUNE_INTERVAL = 60.0
"""Seconds between two passes, after one that left nothing to prune."""
JOIN_TIMEOUT = 1.0
"""Seconds to wait for the thread to end. A thread that still waits for the broker ends with the process."""


class Maintenance:
    """A thread, which runs from `start` to `stop`, and the probe server.

    Every QUEUE_CHECK the thread declares queues and bindings again. Every ANNOUNCE_AT_MOST it reports the cursors of
    the modules in `subscribers` to their producers. Every PRUNE_INTERVAL it prunes the idempotency records of the
    modules in `pruned`. A failed task is retried after QUEUE_CHECK. Neither the work of the process nor a probe waits
    for this thread.
    """

    def __init__(
        self,
        components: Iterable[Component],
        *,
        health_port: int = 0,
        subscribers: Sequence[str] = (),
        pruned: Sequence[str] = (),
    ) -> None:
        self.probes = ProbeServer(components, health_port)
        self._subscribers = subscribers
        self._stop = threading.Event()
        self._tasks = (self._prune, self._declare_and_report)
        self._failing: set[Callable[[], None]] = set()
        self._pruned = pruned
        self._reports_due = self._prune_due = 0.0
        self._thread = threading.Thread(target=self._run, name="maintenance", daemon=True)

    def start(self, **_signal: Any) -> None:
        """Start the thread, also as a receiver of Celery's signals. The caller starts `probes` separately, earlier."""
        if not self._thread.is_alive():
            self._thread.start()

    def stop(self) -> None:
        """Stop the thread and the probe server."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=JOIN_TIMEOUT)
        self.probes.stop()

    def _run(self) -> None:
        while not self._stop.is_set():
            for task in self._tasks:
                self._attempt(task)
            self._stop.wait(settings.PANGAEA.queue_check.total_seconds())

    def _attempt(self, task: Callable[[], None]) -> None:
        try:
            task()
        except Exception as error:  # noqa: BLE001 - whatever the error, this thread must go on
            if task not in self._failing:
                log.warning("maintenance failed", error=str(error) or type(error).__name__)
            self._failing.add(task)
        else:
            self._failing.discard(task)

    def _prune(self) -> None:
        if monotonic() < self._prune_due:
            return
        try:
            unfinished = [idempotency_records.prune(label).unfinished for label in self._pruned]
        finally:
            connections.close_all()
        self._prune_due = monotonic() + (0.0 if any(unfinished) else PRUNE_INTERVAL)

    def _declare_and_report(self) -> None:
        topology.declare(celery_app.app())
        if monotonic() < self._reports_due:
            return
        try:
            sending.send_reports(
                celery_app.app(), [report for label in self._subscribers for report in reports.of(label)]
            )
        finally:
            connections.close_all()
        self._reports_due = monotonic() + settings.PANGAEA.announce_at_most.total_seconds()


def declare_queues(components: Collection[Component], stop: threading.Event) -> None:
    """Declare queues and bindings when a process starts. Waits for the broker, with backoff, until `stop` is set.

    Each attempt reports for the components, which start afterwards: a process that waits for its broker is alive.
    """
    failures = 0
    while not stop.is_set():
        try:
            topology.declare(celery_app.app())
        # The broker is away; or a queue is deleted, or belongs to another connection, while it is declared.
        except OperationalError as error:
            failures += 1
            if failures == 1:
                log.warning("broker connection failed", error=str(error))
            for component in components:
                component.report(State.STARTING)
            stop.wait(DECLARE_BACKOFF.jittered(failures))
        else:
            if failures:
                log.info("broker connected", attempts=failures + 1)
            return
