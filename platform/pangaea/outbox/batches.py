"""Batches as they leave: read from the outbox and joined as bytes, no payload parsed."""

from dataclasses import dataclass
from uuid import UUID

import msgspec
import structlog
from django.conf import settings

from pangaea.messages import Batch
from pangaea.outbox.models import OutboxMessage, Stream

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A batch on its way: where to, its bytes, and what settling it needs."""

    stream: int
    routing_key: str
    body: bytes
    last: int
    last_id: UUID | None

    @classmethod
    def announcement(
        cls, module: str, stream: Stream, *, to: str | None = None, asked: int | None = None
    ) -> "Outgoing":
        """An empty batch after the last position sent."""
        header = _header(module, stream, first=stream.sent + 1, before=stream.sent_id, to=to, asked=asked)
        return _outgoing(stream, header, [], stream.sent, stream.sent_id)


def read_batch(
    module: str, stream: Stream, *, after: int, before: UUID | None, to: str | None = None, asked: int | None = None
) -> Outgoing | None:
    """The next messages of the stream after that position, up to its head (live) or to what was sent (an answer).

    None when the very next one is not there: somebody has deleted rows. To send what follows in its place would make
    every later message another one than its position says.
    """
    until = stream.sent if to else stream.head
    rows = list(
        OutboxMessage.objects.using(module)
        .filter(
            audience=stream.audience,
            partition=stream.partition,
            position__gt=after,
            position__lte=min(until, after + settings.PANGAEA.relay_batch),
        )
        .order_by("position")
        .values_list("position", "message_id", "body")
    )
    whole = [row for expected, row in enumerate(rows, after + 1) if row[0] == expected]
    if not whole:
        log.error("outbox has a hole", module=module, stream=str(stream), position=after + 1)
        return None
    header = _header(module, stream, first=after + 1, before=before, to=to, asked=asked)
    return _outgoing(stream, header, [body for _, _, body in whole], after + len(whole), whole[-1][1])


def _header(
    module: str, stream: Stream, *, first: int, before: UUID | None, to: str | None, asked: int | None
) -> Batch:
    return Batch(
        source=module,
        audience=stream.audience,
        partition=stream.partition,
        partitions=stream.partitions,
        first=first,
        before=before,
        head=stream.head,
        floor=stream.floor,
        to=to,
        asked=asked,
    )


def _outgoing(stream: Stream, header: Batch, bodies: list[str], last: int, last_id: UUID | None) -> Outgoing:
    # An answer goes to the module that asked, not to all who listen.
    audience = header.to.partition(".")[0] if header.to else header.audience
    return Outgoing(
        stream=stream.pk,
        routing_key=f"{header.source}.{audience}.{header.partition}",
        body=msgspec.json.encode(header).removesuffix(b"[]}") + b"[" + ",".join(bodies).encode() + b"]}",
        last=last,
        last_id=last_id,
    )
