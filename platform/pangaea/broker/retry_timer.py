"""The worker's timer, which retries parked messages and deletes old records of discarded ones.

The timer runs in the worker's main process, which must not use a database after its pool was forked. So the retries are
jobs of the pool, in turn with the batches. A message that crashes its process during a retry crashes only the pool's
process, and an idle worker also retries.
"""

from collections.abc import Sequence
from typing import Any

import structlog
from celery import bootsteps
from django.conf import settings

from pangaea.broker import topology
from pangaea.databases import outages
from pangaea.inbox.dead_letters import timer

log = structlog.get_logger()


class RetryTimer(bootsteps.StartStopStep):  # type: ignore[misc] # Celery has no types
    """At each DEAD_LETTER_POLL, submits a job that retries due messages of this worker's modules, one job at a time.

    The pool discards a job that has not begun when the broker connection is lost; the next poll submits another one.
    """

    requires = ("celery.worker.components:Pool",)

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        self._timer: Any = None
        self._pending: Any = None
        self._stopping = worker.app.stopping

    def start(self, worker: Any) -> None:
        """Start the timer."""
        labels = sorted({topology.module_of_queue(name) for name in worker.app.amqp.queues.consume_from})
        seconds = settings.PANGAEA.dead_letter_poll.total_seconds()
        self._timer = worker.timer.call_repeatedly(seconds, self._submit, (worker.pool, labels))

    def stop(self, _worker: Any) -> None:
        """Stop the timer. A running job is ended like a batch."""
        if self._timer is not None:
            self._timer.cancel()

    def _submit(self, pool: Any, labels: Sequence[str]) -> None:
        if not self._is_pending() and not self._stopping.is_set():
            # The solo pool of the local profile calls back unconditionally, and its job is done at once.
            self._pending = pool.apply_async(retry_all, (list(labels),), callback=_ignore)

    def _is_pending(self) -> bool:
        """Whether the pool still has the last job. The pool calls no callback for a job that it discards."""
        return self._pending is not None and self._pending._job in self._pending._cache  # noqa: SLF001 - no public way to ask


def _ignore(_result: Any) -> None:
    """Do nothing: the pool itself knows whether a job is done."""


def retry_all(labels: Sequence[str]) -> None:
    """Run one round for each of these modules. A failed round is logged and does not stop the next module's."""
    for label in labels:
        try:
            timer.run_round(label)
        except Exception as error:  # noqa: BLE001 - the messages stay due
            if not outages.note(error, label):
                log.warning("retries interrupted", module=label, error=str(error))
