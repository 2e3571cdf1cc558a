"""Requests to catch up, answered by the leader: all messages from the cursor to `sent`, between live batches.

Answers are sent on the channel of the live batches, so that the next live batch follows the last answer without a gap.
While live batches wait, each pass sends only one batch per request, which limits the answers' share of the throughput.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import msgspec
import structlog
from django.conf import settings
from django.db import connections, transaction
from django.db.models import QuerySet

from pangaea.databases import engines, idle
from pangaea.messages import ALL, module_of
from pangaea.outbox import subscribers
from pangaea.outbox.batches import Answer, Outgoing, read_batch
from pangaea.outbox.models import CatchUpRequest, OutboxMessage, Stream
from pangaea.wire import PARTITIONS, UNDECODABLE, CatchUp

log = structlog.get_logger()

BATCHES_WHEN_IDLE = 16
"""Batches of answers per pass while no live batch waits. A message that is published meanwhile waits some 50 ms."""
BATCHES_AT_ONCE = 64
"""Batches in the answer to one request, before the subscriber has to ask again. It applies them in a few seconds."""


def receive(module: str, body: bytes, *, sender: str | None = None) -> None:
    """Record a request from the bus.

    A request that is malformed, asks for a stream that the subscriber may not read, or has another `sender` than the
    module that it names, is logged and dropped.
    """
    try:
        request = msgspec.json.decode(body, type=CatchUp)
    except UNDECODABLE as error:
        log.exception("catch-up request dropped", reason="unreadable", module=module, error=str(error))
        return
    if request.source != module or request.audience not in {ALL, module_of(request.subscription)}:
        _drop(module, request, "the subscription may not read that stream")
        return
    if sender not in {None, module_of(request.subscription)}:
        _drop(module, request, "the sender is another module than the subscription's", sender=sender)
        return
    ask(module, request)


def ask(module: str, request: CatchUp) -> None:
    """Record a request in the module's schema. It replaces an earlier one of the same subscription and stream.

    A request is logged and dropped if its subscriber's module has too many subscriptions already.

    A missing stream is created: the answer that it is empty shows the subscriber that this outbox is not the one that
    it has read.
    """
    idle.renew(module)
    if subscribers.is_one_too_many(CatchUpRequest.objects.using(module), request.subscription):
        _drop(module, request, "its module has too many subscriptions")
        return
    with transaction.atomic(using=module):
        CatchUpRequest.objects.using(module).update_or_create(
            subscription=request.subscription,
            audience=request.audience,
            partition=request.partition,
            defaults={
                "asked": request.position,
                "asked_id": request.message_id,
                "question": request.question,
                "position": request.position,
            },
        )
        Stream.provide(module, [request.audience])
        if request.snapshot_after is not None:
            Stream.request_snapshot(module, request)
        engines.of(module).wake_after_commit(connections[module])


def _drop(module: str, request: CatchUp, reason: str, **details: str | None) -> None:
    log.error("catch-up request dropped", reason=reason, module=module, subscription=request.subscription, **details)


@dataclass(slots=True)
class Answers:
    """The answers of one pass. `settle` records them once the broker has accepted them."""

    module: str
    batches: list[Outgoing] = field(default_factory=list)
    served: list[tuple[CatchUpRequest, int]] = field(default_factory=list)
    finished: list[CatchUpRequest] = field(default_factory=list)

    @property
    def unfinished(self) -> bool:
        """Whether more of an answer is left to send."""
        return bool(self.served)

    def withhold(self, refused: Collection[tuple[str, int]]) -> None:
        """Keep the requests for these streams (audience and partition): the broker refused their answers."""
        self.served = [each for each in self.served if (each[0].audience, each[0].partition) not in refused]
        self.finished = [each for each in self.finished if (each.audience, each.partition) not in refused]

    def settle(self) -> None:
        """Record the progress of each request, unless a newer request has replaced it meanwhile."""
        for request, position in self.served:
            self._unchanged(request).update(position=position)
        for request in self.finished:
            self._unchanged(request).delete()

    def _unchanged(self, request: CatchUpRequest) -> "QuerySet[CatchUpRequest]":
        same = {"asked": request.asked, "question": request.question, "position": request.position}
        return CatchUpRequest.objects.using(self.module).filter(pk=request.pk, **same)


def answers(module: str, requests: Sequence[CatchUpRequest], streams: Sequence[Stream]) -> Answers:
    """The next batch of every request; several batches while no live message waits."""
    result = Answers(module)
    by_key = {(stream.audience, stream.partition): stream for stream in streams}
    busy = any(stream.sent < stream.head for stream in streams)
    share = 1 if busy else max(1, BATCHES_WHEN_IDLE // max(1, len(requests)))
    for request in requests:
        stream = by_key.get((request.audience, request.partition))
        if stream is None:  # created after the streams were read: the next pass has it
            continue
        _answer(result, request, stream, share)
    return result


def _answer(result: Answers, request: CatchUpRequest, stream: Stream, share: int) -> None:
    answer = Answer(to=request.subscription, asked=request.asked, question=request.question)
    if request.position >= stream.sent or request.position < stream.floor:
        # The request is at or ahead of `sent`, or below the floor: an announcement's header shows the subscriber which.
        result.batches.append(Outgoing.announcement(result.module, stream, answer=answer))
        result.finished.append(request)
        return
    position, before = request.position, _id_at(result.module, stream, request.position)
    for _ in range(share):
        batch = read_batch(result.module, stream, after=position, before=before, answer=answer)
        if batch is None:
            result.finished.append(request)
            return
        result.batches.append(batch)
        window = _window(batch, batch.last - position)
        position, before = batch.last, batch.last_id
        if position >= stream.sent:
            result.finished.append(request)
            return
        if position - request.asked >= window:
            # A longer answer would overflow the subscriber's queue, which then drops batches. The announcement shows
            # the subscriber the remaining gap, so that it asks again once it has applied these batches.
            result.batches.append(Outgoing.announcement(result.module, stream, answer=answer))
            result.finished.append(request)
            return
    result.served.append((request, position))


def _window(batch: Outgoing, messages: int) -> int:
    """The limit of messages in the answer to one request: answers for all partitions fill at most half of a queue.

    The bytes per message are estimated from `batch`, which has `messages` of them.
    """
    share = settings.PANGAEA.queue_bytes // (2 * PARTITIONS)
    batches = max(1, min(BATCHES_AT_ONCE, settings.PANGAEA.queue_length // (2 * PARTITIONS)))
    return min(batches * settings.PANGAEA.relay_batch, max(1, share * messages // max(1, len(batch.body))))


def _id_at(module: str, stream: Stream, position: int) -> UUID | None:
    if position == 0:
        return None
    if position == stream.floor:
        return stream.floor_id
    return (
        OutboxMessage.objects.using(module)
        .filter(audience=stream.audience, partition=stream.partition, position=position)
        .values_list("message_id", flat=True)
        .first()
    )
