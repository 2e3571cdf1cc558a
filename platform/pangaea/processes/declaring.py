"""Declaring the broker's queues and bindings at the start of a process."""

import threading

import structlog
from kombu.exceptions import OperationalError

from pangaea.backoff import Backoff
from pangaea.broker import celery_app, topology

log = structlog.get_logger()

UNDECLARED = Backoff(first=0.2, longest=5.0)
"""Until the broker is tried again."""


def declare_when_possible(stop: threading.Event) -> None:
    """Declare queues and bindings, waiting for the broker with backoff."""
    failures = 0
    channel_errors = celery_app.app().connection_for_write().channel_errors
    while not stop.is_set():
        try:
            topology.declare(celery_app.app())
        # A queue may be deleted, or belong to another connection, while it is declared.
        except (OperationalError, OSError, *channel_errors) as error:
            failures += 1
            if failures == 1:
                log.warning("broker does not answer", error=str(error))
            stop.wait(UNDECLARED.jittered(failures))
        else:
            if failures:
                log.info("broker answers", attempts=failures + 1)
            return
