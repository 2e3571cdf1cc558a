"""Snapshots that subscribers request: a subscriber that begins at the floor lacks the deleted history.

A request to catch up names the position after which the snapshot must begin. The module's leading relay publishes all
rows that the module captures, chunk by chunk between its passes. One run answers all requests that arrived before it
began. Each stream's row and its batches then carry the position after which its last complete snapshot began, and the
position at which it ended.
"""

from collections.abc import Generator, Sequence
from time import monotonic

import psycopg
import structlog
from django.db import DatabaseError, transaction

from pangaea import modules
from pangaea.change_capture.declaration import Capture
from pangaea.change_capture.models import Snapshot
from pangaea.change_capture.snapshot import Progress, snapshot
from pangaea.errors import Misuse
from pangaea.outbox.models import Stream

log = structlog.get_logger()

CHUNK = 250
"""Rows per transaction. Live messages wait for at most one such transaction."""
SHARE = 0.25
"""The largest share of the relay's time that snapshots take; live messages have the rest."""
RETRY_PAUSE = 5.0
"""Seconds until a failed run is continued."""


class RequestedSnapshots:
    """The requested snapshots of one module, for one relay and its thread. Another relay can continue them."""

    def __init__(self, module: str) -> None:
        self._module = module
        self._running: Generator[Progress, None, None] | None = None
        self._next = 0.0

    def step(self, streams: Sequence[Stream], *, all_sequenced: bool) -> bool:
        """Publish a chunk, if one is due. Returns whether it published a chunk or finished the run.

        `streams`: the rows that this pass read. `all_sequenced`: whether the pass left no unsequenced row. A failure is
        logged, and the chunk is retried later, so that the module's messages do not wait for it.
        """
        if monotonic() < self._next or not any(stream.has_open_snapshot for stream in streams):
            return False
        began = monotonic()
        try:
            published = self._step(streams, all_sequenced=all_sequenced)
        except (Misuse, DatabaseError, psycopg.Error) as error:
            log.warning("requested snapshot interrupted", module=self._module, error=str(error))
            self.close()
            self._next = monotonic() + RETRY_PAUSE
            return False
        self._next = monotonic() + (monotonic() - began) * (1 / SHARE - 1)
        return published

    def close(self) -> None:
        """Stop, and let another process continue."""
        running, self._running = self._running, None
        if running is not None:
            running.close()

    def _step(self, streams: Sequence[Stream], *, all_sequenced: bool) -> bool:
        if all(stream.snapshot_begun is None for stream in streams):
            _begin(self._module)
        if self._running is None:
            capture = _next_capture(self._module)
            if capture is None:
                # The last chunk was committed before this pass sequenced rows.
                if all_sequenced:
                    _finish(self._module)
                return all_sequenced
            self._running = snapshot(capture, chunk=CHUNK, in_passing=True)
        progress = next(self._running, None)
        if progress is None or progress.finished:
            next(self._running, None)
            self._running = None
        return True


def _captures(module: str) -> list[Capture]:
    return modules.named(module).load_captures()


def _begin(module: str) -> None:
    """Begin a run after the present heads, unless another relay has begun one."""
    with transaction.atomic(using=module):
        if not Stream.begin_snapshot(module):
            return
        for capture in _captures(module):
            Snapshot.begin(capture.name, module=module)
    log.info("requested snapshot started", module=module)


def _next_capture(module: str) -> Capture | None:
    finished = Snapshot.objects.using(module).filter(finished_at__isnull=False).values_list("capture", flat=True)
    done = set(finished)
    return next((capture for capture in _captures(module) if capture.name not in done), None)


def _finish(module: str) -> None:
    Stream.finish_snapshot(module)
    log.info("requested snapshot finished", module=module)
