"""The relays of a process: one thread per module, or threads inside runserver."""

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
from pangaea.processes.declaring import declare_when_possible
from pangaea.processes.maintenance import Upkeep
from pangaea.processes.signals import grace
from pangaea.telemetry.heartbeat import Pulse

log = structlog.get_logger()


class Relays(AbstractContextManager["Relays"]):
    """A relay thread for each module, and their upkeep, running between entry and exit."""

    def __init__(
        self,
        labels: Sequence[str],
        *,
        stop: threading.Event | None = None,
        heartbeat_file: str = "",
        health_port: int = 0,
    ) -> None:
        self._labels = labels
        self._stop = stop or threading.Event()
        self._upkeep = Upkeep("relay", heartbeat_file=heartbeat_file, health_port=health_port)
        self._threads = [
            threading.Thread(
                target=Relay(
                    label,
                    sending.BatchSender(celery_app.app()),
                    self._upkeep.heartbeat.add(Pulse(label)),
                    snapshots=RequestedSnapshots(label),
                ).run,
                args=[self._stop],
                name=f"relay {label}",
                daemon=True,
            )
            for label in labels
        ]

    def __enter__(self) -> Self:
        self._upkeep.probes.start()
        self._upkeep.start()
        declare_when_possible(self._stop)
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        # Later they end with the process, and what was not settled is sent again.
        patience = monotonic() + grace()
        for thread in self._threads:
            thread.join(timeout=max(0, patience - monotonic()))
        self._upkeep.stop()

    def wait(self) -> None:
        """Return when `stop` was called."""
        self._stop.wait()

    def stop(self) -> None:
        """Let the relays finish what they are at."""
        self._stop.set()
        for label in self._labels:
            engines.of(label).wake(label)


def run_relays(labels: Sequence[str], stop: threading.Event) -> None:
    """Relay these modules until `stop` is set."""
    own = settings.PANGAEA
    entries.limit_waits()
    with Relays(labels, stop=stop, heartbeat_file=own.heartbeat_file, health_port=own.health_port) as relays:
        log.info("relay started", modules=list(labels))
        relays.wait()
    log.info("relay stopped", modules=list(labels))
