"""The worker, which consumes the queues of its modules: a process, or a thread in runserver."""

import os
import signal
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager
from time import sleep
from types import TracebackType
from typing import Any, Self

import structlog
from billiard import active_children  # type: ignore[import-untyped] # Celery's pools, without types
from celery.signals import worker_process_init, worker_ready
from django.conf import settings
from django.db import connections

from pangaea.broker import celery_app, consumer, topology
from pangaea.databases import entries, migration_state
from pangaea.inbox import in_flight
from pangaea.processes.maintenance import Maintenance, declare_queues
from pangaea.processes.signals import grace, set_on_signal
from pangaea.telemetry.components import Component, State

log = structlog.get_logger()
MIGRATIONS_POLL = 1.0
"""Seconds between two checks whether a missing migration was applied."""
KILL_INTERVAL = 0.25
"""Seconds between two rounds of killing the pool's processes."""


class InProcessWorker(AbstractContextManager["InProcessWorker"]):
    """A Celery worker in a thread of this process, for the local profile: a breakpoint in a handler stops here.

    JOB_TIME_LIMIT does not apply: a handler that does not return is never ended.
    """

    def __init__(self) -> None:
        app = celery_app.app()
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


def wait_for_migrations(labels: Sequence[str], component: Component, stop: threading.Event) -> None:
    """Return once no database of these modules is known to lack a migration: until then handlers would only fail.

    Meanwhile the process is alive, but not ready. It does not wait for a database that does not answer, since those of
    other modules may.
    """
    waited = False
    while not stop.is_set():
        missing = [text for label in labels if (text := migration_state.missing(label))]
        # The pool's process is forked later, and would share these connections.
        connections.close_all()
        if not missing:
            if waited:
                log.info("migrations applied", modules=list(labels))
            return
        if not waited:
            log.warning("migrations awaited", missing=missing)
        waited = True
        component.report(State.STARTING)
        stop.wait(MIGRATIONS_POLL)


def run_worker(queues: Sequence[str]) -> None:
    """Consume these queues, one batch at a time, until the app's `stopping` is set by SIGTERM or SIGINT.

    Raises SystemExit if the worker ends for another reason.
    """
    app = celery_app.app()
    stop = app.stopping
    entries.limit_waits()
    maintenance = Maintenance(
        [app.component], health_port=settings.PANGAEA.health_port, subscribers=_modules_of(queues)
    )
    # Before the broker answers: a worker that waits for its broker is alive.
    maintenance.probes.start()
    worker_process_init.connect(maintenance.probes.abandon, weak=False)
    in_flight.share()
    worker_process_init.connect(_inherit, weak=False)
    declare_queues([app.component], stop)
    wait_for_migrations(_modules_of(queues), app.component, stop)

    def begin(**_: Any) -> None:
        # Not before the pool's process is forked: that would inherit a thread's locks without the thread.
        maintenance.start()
        # Replaces Celery's own handlers.
        set_on_signal(stop)

    if stop.is_set():
        maintenance.stop()
        log.info("worker stopped", queues=list(queues))
        return
    threading.Thread(target=_end_after_grace, args=[stop], name="grace", daemon=True).start()
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
        # "fast" hands a batch over early: after losing the broker, the parent would wait for its child (ADR 0012).
        optimization="fair",
        loglevel="WARNING",
        quiet=True,
    )
    worker.start()
    maintenance.stop()
    # Until the worker is ready, the signals reach Celery's own handlers.
    if not (stop.is_set() or consumer.is_stopping()):
        log.error("worker ended without a signal", queues=list(queues))
        raise SystemExit(os.EX_SOFTWARE)
    log.info("worker stopped", queues=list(queues))


def _inherit(**_signal: Any) -> None:
    in_flight.inherit()


def _end_after_grace(stop: threading.Event) -> None:
    """End the batches that still run after `stop` and the grace period. They are rolled back and delivered again."""
    stop.wait()
    sleep(grace())
    log.warning("batch aborted by shutdown")
    consumer.end_worker()
    # Until the worker ends, the pool starts another process for the next batch.
    while children := active_children():
        for child in children:
            os.kill(child.pid, signal.SIGKILL)
        sleep(KILL_INTERVAL)


def _modules_of(queues: Sequence[str]) -> list[str]:
    return sorted({topology.module_of_queue(name) for name in queues})


def queue_names(labels: Sequence[str]) -> list[str]:
    """The queues of these modules."""
    return [name for name in celery_app.app().amqp.queues if topology.module_of_queue(name) in labels]
