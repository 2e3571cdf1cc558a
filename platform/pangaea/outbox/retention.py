"""How long history is kept: for ever, unless the module limits it (`ModuleConfig.retention`).

Older messages are deleted in bounded batches, once every subscriber that reports has read them. The stream's floor
rises in the same transaction, and announcements carry it. A subscriber below the floor stops, and its log names the
remedy. A new subscriber begins with a snapshot, so only a module that captures its tables may have a retention.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile

import structlog
from django.db import transaction
from django.db.models import Min
from django.utils import timezone

from pangaea import modules
from pangaea.outbox.models import CatchUpRequest, OutboxMessage, Stream, Subscriber

log = structlog.get_logger()

BATCH = 1000
"""Rows that one transaction deletes. The relay waits for the stream's row meanwhile, a few tens of milliseconds."""


@dataclass(frozen=True, slots=True)
class Pruned:
    """The number of messages that one pass deleted. `unfinished`: there may be more to delete."""

    messages: int = 0
    unfinished: bool = False


def prune(module: str) -> Pruned:
    """Delete expired messages, at most BATCH of each stream."""
    retention: timedelta | None = modules.named(module).retention
    removed = []
    if retention is not None:
        streams = Stream.objects.using(module).order_by("id").values_list("pk", flat=True)
        removed = [_prune_stream(module, stream, before=timezone.now() - retention) for stream in streams]
    if any(removed):
        log.info("history pruned", module=module, messages=sum(removed))
    return Pruned(sum(removed), unfinished=BATCH in removed)


def _prune_stream(module: str, pk: int, *, before: datetime) -> int:
    with transaction.atomic(using=module):
        stream = Stream.objects.using(module).select_for_update().get(pk=pk)
        rows = OutboxMessage.objects.using(module).filter(audience=stream.audience, partition=stream.partition)
        oldest = rows.filter(
            position__gt=stream.floor, position__lte=min(_needed_after(module, stream), stream.floor + BATCH)
        )
        # Positions do not follow `created_at`: only the rows before the first unexpired one are deleted.
        candidates = oldest.order_by("position").values_list("position", "message_id", "created_at")
        expired = list(takewhile(lambda row: row[2] < before, candidates))
        if expired:
            floor, floor_id, _ = expired[-1]
            Stream.objects.using(module).filter(pk=pk).update(floor=floor, floor_id=floor_id)
            rows.filter(position__lte=floor).delete()
    return len(expired)


def _needed_after(module: str, stream: Stream) -> int:
    """The lowest position of any subscriber or request; 0 until one has reported, so that nothing is deleted."""
    of_stream = {"audience": stream.audience, "partition": stream.partition}
    reported = Subscriber.objects.using(module).filter(**of_stream).aggregate(lowest=Min("position"))["lowest"]
    asked = CatchUpRequest.objects.using(module).filter(**of_stream).aggregate(lowest=Min("position"))["lowest"]
    return min(each for each in (reported or 0, asked, stream.sent) if each is not None)
