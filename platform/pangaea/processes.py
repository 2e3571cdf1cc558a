"""The processes that carry messages: relays and workers, as threads inside runserver or as processes of their own."""

import os
import signal
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager
from queue import SimpleQueue
from time import monotonic, sleep
from types import TracebackType
from typing import Any, Self

import structlog
from billiard import active_children  # type: ignore[import-untyped] # Celery's pools, without types
from celery.signals import worker_process_init, worker_ready
from django.conf import settings
from django.db import connections
from kombu.exceptions import OperationalError

from pangaea import bus, databases, engines, health, migration_state, modules, queue_worker, topology
from pangaea.heartbeat import Heartbeat, Pulse, State
from pangaea.inbox import in_flight
from pangaea.outbox.relay import Relay, backoff
from pangaea.upkeep import Upkeep

log = structlog.get_logger()

MIGRATIONS_POLL = 1.0
"""Seconds between two looks whether a missing migration was applied."""
LAST_STEPS = 1.0
"""Seconds of SHUTDOWN_GRACE that are kept for what comes after the work itself."""


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
                target=Relay(label, bus.Carriage(bus.app()), self._upkeep.heartbeat.add(Pulse(label))).run,
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
        patience = monotonic() + _grace()
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


class InProcessWorker(AbstractContextManager["InProcessWorker"]):
    """A Celery worker in a thread of this process, for the local profile: a breakpoint in a handler stops here.

    So nothing ends a handler that does not return, whatever JOB_TIME_LIMIT is.
    """

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
    channel_errors = bus.app().connection_for_write().channel_errors
    while not stop.is_set():
        try:
            topology.declare(bus.app())
        # A queue may be deleted, or belong to another connection, while it is declared.
        except (OperationalError, OSError, *channel_errors) as error:
            failures += 1
            if failures == 1:
                log.warning("broker does not answer", error=str(error))
            stop.wait(backoff(failures))
        else:
            if failures:
                log.info("broker answers", attempts=failures + 1)
            return


def wait_for_migrations(labels: Sequence[str], heartbeat: Heartbeat, stop: threading.Event) -> None:
    """Return when none of these modules' databases is known to lack a migration: what needs it would only fail.

    Meanwhile the process is alive, and not ready. A database that does not answer is not waited for, as another may.
    """
    waited = False
    while not stop.is_set():
        missing = [text for label in labels if (text := migration_state.missing(label))]
        # The pool's process is forked later: it would share these connections.
        connections.close_all()
        if not missing:
            if waited:
                log.info("migrations applied", modules=list(labels))
            return
        if not waited:
            log.warning("worker waits for migrations", missing=missing)
        waited = True
        for pulse in heartbeat.pulses:
            pulse.beat(State.STARTING)
        heartbeat.write()
        stop.wait(MIGRATIONS_POLL)


def run_relays(labels: Sequence[str], stop: threading.Event) -> None:
    """Relay these modules until `stop` is set."""
    own = settings.PANGAEA
    databases.limit_waits()
    with Relays(labels, stop=stop, heartbeat_file=own.heartbeat_file, health_port=own.health_port) as relays:
        log.info("relay started", modules=list(labels))
        relays.wait()
    log.info("relay stopped", modules=list(labels))


def run_worker(queues: Sequence[str]) -> None:
    """Consume these queues, one batch at a time, until the app's `leaving` is set by SIGTERM or SIGINT.

    Raises SystemExit when it ends otherwise.
    """
    app = bus.app()
    stop = app.leaving
    own = settings.PANGAEA
    databases.limit_waits()
    upkeep = Upkeep(
        "worker", heartbeat_file=own.heartbeat_file, health_port=own.health_port, listeners=_modules_of(queues)
    )
    upkeep.heartbeat.add(app.pulse)
    # Before the broker answers: a worker that waits for it is alive.
    upkeep.probes.start()
    worker_process_init.connect(upkeep.probes.abandon, weak=False)
    in_flight.share()
    worker_process_init.connect(_inherit, weak=False)
    declare_when_possible(stop)
    wait_for_migrations(_modules_of(queues), upkeep.heartbeat, stop)

    def begin(**_: Any) -> None:
        # Not before the pool's process is forked: it would inherit a thread's locks without the thread.
        upkeep.start()
        # In place of Celery's own handlers.
        set_on_signal(stop)

    if stop.is_set():
        upkeep.stop()
        log.info("worker stopped", queues=list(queues))
        return
    threading.Thread(target=_limit_patience, args=[stop], name="patience", daemon=True).start()
    worker_ready.connect(begin, weak=False)
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
        # "fast" hands a batch over early; the parent would wait for its process when it loses the broker (ADR 0012).
        optimization="fair",
        loglevel="WARNING",
        quiet=True,
    )
    worker.start()
    upkeep.stop()
    # Until the worker is ready, Celery's own handlers have the signals.
    if not (stop.is_set() or queue_worker.is_told_to_stop()):
        log.error("worker ended without a signal", queues=list(queues))
        raise SystemExit(os.EX_SOFTWARE)
    log.info("worker stopped", queues=list(queues))


def _inherit(**_signal: Any) -> None:
    in_flight.inherit()


def set_on_signal(event: threading.Event) -> None:
    """Set the event on SIGTERM and SIGINT from here on. A command calls it before it waits for anything.

    In a thread: a handler that takes a lock which the interrupted code, or the handler before it, holds never ends.
    """
    told: SimpleQueue[int] = SimpleQueue()

    def obey() -> None:
        while told.get():
            event.set()

    def hear(number: int, _frame: Any) -> None:
        health.begin_shutdown()
        told.put(number)

    threading.Thread(target=obey, name="signals", daemon=True).start()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, hear)


def _limit_patience(leaving: threading.Event) -> None:
    """Give the batches at hand their time, then end them: they are rolled back, and the broker has kept them."""
    leaving.wait()
    sleep(_grace())
    log.warning("worker ends in the middle of a batch")
    queue_worker.end_worker()
    # The pool starts another process for the next batch until it hears that it is to end too.
    while children := active_children():
        for child in children:
            os.kill(child.pid, signal.SIGKILL)
        sleep(LAST_STEPS / 4)


def _grace() -> float:
    """Seconds for the work itself when the process is told to stop."""
    return max(0.0, float(settings.PANGAEA.shutdown_grace.total_seconds()) - LAST_STEPS)


def _modules_of(queues: Sequence[str]) -> list[str]:
    return sorted({topology.module_of_queue(name) for name in queues})


def queue_names(labels: Sequence[str]) -> list[str]:
    """The queues of these modules."""
    return [name for name in bus.app().amqp.queues if topology.module_of_queue(name) in labels]


def known(labels: Sequence[str]) -> list[str]:
    """These modules if all are installed, or every installed one when none is named. Raises LookupError."""
    return [modules.named(label).label for label in labels] or modules.labels()
