"""The processes that carry messages: relays and workers, as threads inside runserver or as processes of their own."""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from time import monotonic
from types import TracebackType
from typing import Any, Self

import structlog
from billiard import active_children  # type: ignore[import-untyped] # Celery's pools, without types
from celery.signals import worker_ready, worker_shutting_down
from django.conf import settings
from kombu.exceptions import OperationalError

from pangaea import bus, engines, modules
from pangaea.heartbeat import Pulse
from pangaea.outbox.relay import Relay, backoff
from pangaea.upkeep import Upkeep

log = structlog.get_logger()

STOPPING = 5.0
"""Seconds for all relays together to end; later they end with the process, and what was not settled is sent again."""
GRACE = 1.0
"""Seconds for the batch at hand when a worker is told to stop."""


class Relays(AbstractContextManager["Relays"]):
    """A relay thread for each module, and their upkeep, running between entry and exit."""

    def __init__(self, labels: Sequence[str], *, heartbeat_file: str = "") -> None:
        self._labels = labels
        self._stop = threading.Event()
        self._upkeep = Upkeep("relay", heartbeat_file=heartbeat_file)
        self._threads = [
            threading.Thread(
                target=Relay(label, bus.Carriage(bus.app()), self._upkeep.heartbeat.add(Pulse(label))).run,
                args=[self._stop],
                name=f"relay {label}",
                daemon=True,
            )
            for label in labels
        ]

    def __enter__(self) -> Self:
        self._upkeep.start()
        declare_when_possible(self._stop)
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        patience = monotonic() + STOPPING
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
            engines.wake(label)


class InProcessWorker(AbstractContextManager["InProcessWorker"]):
    """A Celery worker in a thread of this process, for the local profile: a breakpoint in a handler stops here."""

    def __init__(self) -> None:
        app = bus.app()
        # Celery's task tracing looks the app up globally.
        app.set_default()
        self._worker: Any = app.WorkController(
            pool="solo", without_gossip=True, without_mingle=True, without_heartbeat=True, loglevel="WARNING"
        )
        self._thread = threading.Thread(target=self._worker.start, name="worker", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._worker.stop()
        self._thread.join(timeout=1)


def declare_when_possible(stop: threading.Event) -> None:
    """Declare queues and bindings, waiting for the broker with backoff."""
    failures = 0
    while not stop.is_set():
        try:
            bus.declare_topology(bus.app())
        except (OperationalError, OSError) as error:
            failures += 1
            if failures == 1:
                log.warning("broker does not answer", error=str(error))
            stop.wait(backoff(failures))
        else:
            if failures:
                log.info("broker answers", attempts=failures + 1)
            return


def run_relays(labels: Sequence[str]) -> None:
    """Relay these modules until SIGTERM or SIGINT."""
    relays = Relays(labels, heartbeat_file=settings.PANGAEA.heartbeat_file)
    with _when_told(relays.stop), relays:
        log.info("relay started", modules=list(labels))
        relays.wait()
    log.info("relay stopped", modules=list(labels))


def run_worker(queues: Sequence[str]) -> None:
    """Consume these queues until SIGTERM or SIGINT, one batch at a time."""
    stop = threading.Event()
    app = bus.app()
    upkeep = Upkeep("worker", heartbeat_file=settings.PANGAEA.heartbeat_file, listeners=_modules_of(queues))
    upkeep.heartbeat.add(app.pulse)
    with _when_told(stop.set):
        declare_when_possible(stop)
    if stop.is_set():
        return
    worker_shutting_down.connect(_limit_patience)
    # Not before the pool's process is forked: it would inherit a thread's locks without the thread.
    worker_ready.connect(upkeep.start, weak=False)
    app.set_default()
    log.info("worker started", queues=list(queues))
    # One batch at a time keeps a queue's order; prefork because the solo pool stalls for seconds with a small prefetch.
    worker: Any = app.Worker(
        pool="prefork",
        concurrency=1,
        queues=list(queues),
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        optimization="default",
        loglevel="WARNING",
        quiet=True,
    )
    worker.start()
    upkeep.stop()
    log.info("worker stopped", queues=list(queues))


@contextmanager
def _when_told(action: Callable[[], None]) -> Iterator[None]:
    """Call this on SIGTERM and SIGINT, while the context lasts."""
    before = {number: signal.signal(number, lambda *_: action()) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _limit_patience(**_: Any) -> None:
    """Give the batch at hand a moment, then end it: its transaction is rolled back, and the broker has kept it."""

    def end() -> None:
        for child in active_children():
            os.kill(child.pid, signal.SIGKILL)

    timer = threading.Timer(GRACE, end)
    timer.daemon = True
    timer.start()


def _modules_of(queues: Sequence[str]) -> list[str]:
    return sorted({bus.module_of_queue(name) for name in queues})


def queue_names(labels: Sequence[str]) -> list[str]:
    """The queues of these modules."""
    return [name for name in bus.app().amqp.queues if bus.module_of_queue(name) in labels]


def known(labels: Sequence[str]) -> list[str]:
    """These modules if all are installed, or every installed one when none is named. Raises LookupError."""
    return [modules.named(label).label for label in labels] or modules.labels()
