"""The relays of a process: one thread per module, in `manage.py relay` or in runserver."""

import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager
from time import monotonic
from types import TracebackType
from typing import Self

import structlog
from django.conf import settings

from pangaea.broker import celery_app, sending
from pangaea.change_capture.requested_snapshots import RequestedSnapshots
from pangaea.databases import engines, entries
from pangaea.outbox.relay import Relay
from pangaea.processes.maintenance import Maintenance, declare_queues
from pangaea.processes.signals import grace
from pangaea.telemetry.components import Component

log = structlog.get_logger()


class Relays(AbstractContextManager["Relays"]):
    """A relay thread per module, and the maintenance thread. They run between entry and exit of the context."""

    def __init__(self, labels: Sequence[str], *, stop: threading.Event | None = None, health_port: int = 0) -> None:
        self._labels = labels
        self._stop = stop or threading.Event()
        self._components = {label: Component(label) for label in labels}
        self._maintenance = Maintenance(self._components.values(), health_port=health_port, pruned=labels)
        self._threads = [
            threading.Thread(
                target=Relay(
                    label,
                    sending.BatchSender(celery_app.app()),
                    self._components[label],
                    snapshots=RequestedSnapshots(label),
                ).run,
                args=[self._stop],
                name=f"relay {label}",
                daemon=True,
            )
            for label in labels
        ]

    def __enter__(self) -> Self:
        self._maintenance.probes.start()
        self._maintenance.start()
        declare_queues(self._components.values(), self._stop)
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        # A thread that takes longer ends with the process, and its unsettled messages are sent again.
        deadline = monotonic() + grace()
        for thread in self._threads:
            thread.join(timeout=max(0, deadline - monotonic()))
        self._maintenance.stop()

    def wait(self) -> None:
        """Return once `stop` was called."""
        self._stop.wait()

    def stop(self) -> None:
        """Make the relays stop after their current pass."""
        self._stop.set()
        for label in self._labels:
            engines.of(label).wake(label)


def run_relays(labels: Sequence[str], stop: threading.Event) -> None:
    """Relay these modules until `stop` is set."""
    entries.limit_waits()
    with Relays(labels, stop=stop, health_port=settings.PANGAEA.health_port) as relays:
        log.info("relay started", modules=list(labels))
        relays.wait()
    log.info("relay stopped", modules=list(labels))
