"""The worker's clock for parked messages.

The timer runs in the worker's main process, which must touch no database after its pool was forked; the work itself is
handed to the pool, in turn with the batches. So a message that ends the process that retries it ends no more than that,
and an idle worker retries too.
"""

from collections.abc import Sequence
from typing import Any

import structlog
from celery import bootsteps
from django.conf import settings

from pangaea.broker import topology
from pangaea.inbox.retries import retry_due

log = structlog.get_logger()


class RetryTimer(bootsteps.StartStopStep):  # type: ignore[misc] # Celery has no types
    """Looks every second for what is due in the modules whose queues this worker consumes, one round at a time.

    A round that the pool discards, because the broker's connection was lost before it began, is followed by the next.
    """

    requires = ("celery.worker.components:Pool",)

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        self._entry: Any = None
        self._round: Any = None
        self._stopping = worker.app.stopping

    def start(self, worker: Any) -> None:
        """Begin to tick."""
        labels = sorted({topology.module_of_queue(name) for name in worker.app.amqp.queues.consume_from})
        seconds = settings.PANGAEA.dead_letter_poll.total_seconds()
        self._entry = worker.timer.call_repeatedly(seconds, self._tick, (worker.pool, labels))

    def stop(self, _worker: Any) -> None:
        """Tick no more; a round at work is ended like a batch."""
        if self._entry is not None:
            self._entry.cancel()

    def _tick(self, pool: Any, labels: Sequence[str]) -> None:
        if not self._is_under_way() and not self._stopping.is_set():
            # The solo pool of the local profile, where a round is over at once, calls back whatever it is given.
            self._round = pool.apply_async(retry_all, (list(labels),), callback=_ignore)

    def _is_under_way(self) -> bool:
        """Whether the pool still knows the last round: one that a lost connection discards has no callback."""
        return self._round is not None and self._round._job in self._round._cache  # noqa: SLF001 - no other way to ask


def _ignore(_result: Any) -> None:
    """The pool itself knows whether a round is over."""


def retry_all(labels: Sequence[str]) -> None:
    """Retry what is due in these modules. One whose database does not answer does not hold up the others."""
    for label in labels:
        try:
            retry_due(label)
        except Exception as error:  # noqa: BLE001 - what is due stays due
            log.warning("retries interrupted", module=label, error=str(error))
