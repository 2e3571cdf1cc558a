"""Snapshots that subscribers ask for: one who begins at the floor lacks what the deleted history said.

A request to catch up names the position after which the snapshot must begin. The module's leading relay publishes all
rows that the module captures, chunk by chunk between its passes; one run answers all who asked before it began. Each
stream then knows from which position on, and up to which, its last whole snapshot lies, and its batches say so.
"""

from collections.abc import Generator, Sequence
from time import monotonic

import psycopg
import structlog
from django.db import DatabaseError, transaction
from django.db.models import F
from django.utils import timezone

from pangaea import modules
from pangaea.change_capture.declaration import Capture
from pangaea.change_capture.snapshot import Progress, snapshot
from pangaea.errors import Misuse
from pangaea.messages import EVERYBODY
from pangaea.outbox.models import Snapshot, Stream
from pangaea.wire import CatchUp

log = structlog.get_logger()

CHUNK = 250
"""Rows per transaction: live messages wait for one at most."""
SHARE = 0.25
"""Of the relay's time at most, so that live messages keep the rest."""
RETRY_PAUSE = 5.0
"""Seconds until a run that failed goes on."""


def want(module: str, request: CatchUp) -> None:
    """Note that a subscriber needs a snapshot which begins after that position, unless one is there or under way.

    No subscription begins at a position that is not deleted: a request that says so is wrong, and would ask for one
    run after the other.
    """
    if request.audience != EVERYBODY:
        return
    below = Stream.objects.using(module).filter(partition=request.partition, floor__gte=request.snapshot_after)
    lacking = below.filter(audience=EVERYBODY).exclude(snapshot_from__gte=request.snapshot_after)
    with transaction.atomic(using=module):
        locked = Stream.locked(lacking.exclude(snapshot_begun__gte=request.snapshot_after))
        locked.update(snapshot_wanted=request.snapshot_after)


class RequestedSnapshots:
    """What one relay does about them. Belongs to its thread; another relay goes on where this one stopped."""

    def __init__(self, module: str) -> None:
        self._module = module
        self._running: Generator[Progress, None, None] | None = None
        self._next = 0.0

    def step(self, streams: Sequence[Stream], *, all_sequenced: bool) -> bool:
        """Publish a chunk, if one is due; True when it did, or when the run is finished.

        `streams` are as they were read in this pass, which began with giving positions: to all rows, or not. A failure
        is logged and tried again later: the module's messages do not wait for it.
        """
        if monotonic() < self._next or not any(_is_concerned(stream) for stream in streams):
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
        """Stop, and let another process go on."""
        running, self._running = self._running, None
        if running is not None:
            running.close()

    def _step(self, streams: Sequence[Stream], *, all_sequenced: bool) -> bool:
        if all(stream.snapshot_begun is None for stream in streams):
            _begin(self._module)
        if self._running is None:
            capture = _next_capture(self._module)
            if capture is None:
                # The last chunk was committed before this pass gave positions.
                return all_sequenced and _finish(self._module)
            self._running = snapshot(capture, chunk=CHUNK, in_passing=True)
        progress = next(self._running, None)
        if progress is None or progress.finished:
            next(self._running, None)
            self._running = None
        return True


def _is_concerned(stream: Stream) -> bool:
    return stream.snapshot_wanted is not None or stream.snapshot_begun is not None


def _captures(module: str) -> list[Capture]:
    return modules.named(module).load_captures()


def _begin(module: str) -> None:
    """Begin a run, unless another relay has: what it publishes comes after the present heads."""
    with transaction.atomic(using=module):
        streams = Stream.objects.using(module).filter(audience=EVERYBODY)
        if any(stream.snapshot_begun is not None for stream in streams.select_for_update().order_by("id")):
            return
        streams.update(snapshot_begun=F("head"), snapshot_wanted=None)
        for capture in _captures(module):
            start = {"after": None, "rows": 0, "started_at": timezone.now(), "finished_at": None}
            Snapshot.objects.using(module).update_or_create(capture=capture.name, defaults=start)
    log.info("requested snapshot began", module=module)


def _next_capture(module: str) -> Capture | None:
    finished = Snapshot.objects.using(module).filter(finished_at__isnull=False).values_list("capture", flat=True)
    done = set(finished)
    return next((capture for capture in _captures(module) if capture.name not in done), None)


def _finish(module: str) -> bool:
    with transaction.atomic(using=module):
        begun = Stream.objects.using(module).filter(audience=EVERYBODY, snapshot_begun__isnull=False)
        Stream.locked(begun).update(snapshot_from=F("snapshot_begun"), snapshot_until=F("head"), snapshot_begun=None)
    log.info("requested snapshot finished", module=module)
    return True
