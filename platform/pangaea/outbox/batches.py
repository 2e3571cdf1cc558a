"""Outgoing batches: read from the outbox and joined as bytes, without parsing a payload."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import structlog
from django.conf import settings
from django.db import connections

from pangaea.databases import engines
from pangaea.outbox.models import Stream
from pangaea.wire import Batch

log = structlog.get_logger()

BATCH_LENGTH = 4 * 1024 * 1024
"""Bytes of a batch's messages, at most: RabbitMQ 4 refuses more than 16 MiB, and a worker holds two batches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The request that a batch answers: its subscription, the position after which it asked, and its number."""

    to: str
    asked: int
    question: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A batch to be sent: its routing key, its bytes, and the position and id that settling it records."""

    stream: int
    routing_key: str
    body: bytes
    last: int
    last_id: UUID | None

    @classmethod
    def announcement(cls, module: str, stream: Stream, *, answer: Answer | None = None) -> "Outgoing":
        """An empty batch after the last position sent."""
        header = _header(module, stream, first=stream.sent + 1, before=stream.sent_id, answer=answer)
        return _outgoing(stream, header, [], stream.sent, stream.sent_id)


def read_batch(module: str, stream: Stream, *, after: int, before: UUID | None, answer: Answer) -> Outgoing | None:
    """A part of an answer: the stream's sent messages after this position, as many as one batch takes.

    None if the next message is missing because rows were deleted by hand: a batch without it would give each later
    message a wrong position.
    """
    rows = _read(module, [(stream, after, stream.sent)])[stream.pk]
    return _batch_of(module, stream, rows, after=after, before=before, answer=answer)


def read_live(module: str, streams: Sequence[Stream]) -> list[Outgoing]:
    """The next batch of each stream, which all have messages to send. A stream whose next row is missing has none."""
    rows = _read(module, [(stream, stream.sent, stream.head) for stream in streams])
    batches = (
        _batch_of(module, stream, rows[stream.pk], after=stream.sent, before=stream.sent_id) for stream in streams
    )
    return [batch for batch in batches if batch]


_READ = """
WITH wanted (stream, audience, part, after, until) AS (VALUES %s)
SELECT stream, position, message_id, key, {body} FROM wanted
JOIN pangaea_outbox AS outbox ON outbox.audience = wanted.audience AND partition = part
    AND position > after AND position <= until
ORDER BY stream, position
"""
_Row = tuple[int, UUID, str, bytes]
"""Position, id, key and body."""


def _read(module: str, wanted: Sequence[tuple[Stream, int, int]]) -> dict[int, list[_Row]]:
    """The next messages of each stream, in one query: after the first of its two positions, up to the second."""
    by_stream: dict[int, list[_Row]] = {stream.pk: [] for stream, _, _ in wanted}
    if not wanted:
        return by_stream
    limit = settings.PANGAEA.relay_batch
    ranges = [
        (stream.pk, stream.audience, stream.partition, after, min(until, after + limit))
        for stream, after, until in wanted
    ]
    engine = engines.of(module)
    statement = _READ.format(body=engine.body_sql) % ", ".join(["(%s, %s, %s, %s, %s)"] * len(ranges))
    values = [value for each in ranges for value in each]
    for stream, position, message_id, key, body in engine.rows(connections[module], statement, *values):
        by_stream[stream].append((position, _uuid(message_id), key, body if isinstance(body, bytes) else body.encode()))
    return by_stream


def _batch_of(
    module: str,
    stream: Stream,
    rows: Sequence[_Row],
    *,
    after: int,
    before: UUID | None,
    answer: Answer | None = None,
) -> Outgoing | None:
    consecutive: list[_Row] = []
    size = 0
    for row in rows:
        if row[0] != after + len(consecutive) + 1 or (consecutive and size + len(row[3]) > BATCH_LENGTH):
            break
        consecutive.append(row)
        size += len(row[3])
    if not consecutive:
        log.error("outbox gap found", module=module, stream=str(stream), position=after + 1)
        return None
    header = _header(module, stream, first=after + 1, before=before, answer=answer)
    return _outgoing(stream, header, [row[1:] for row in consecutive], after + len(consecutive), consecutive[-1][1])


def _uuid(value: UUID | str) -> UUID:
    """An id as a UUID: SQLite returns it as text."""
    return value if isinstance(value, UUID) else UUID(value)


def _header(module: str, stream: Stream, *, first: int, before: UUID | None, answer: Answer | None) -> Batch:
    return Batch(
        source=module,
        audience=stream.audience,
        partition=stream.partition,
        partitions=stream.partitions,
        first=first,
        before=before,
        head=stream.head,
        floor=stream.floor,
        floor_id=stream.floor_id,
        snapshot=_snapshot(stream),
        to=answer.to if answer else None,
        asked=answer.asked if answer else None,
        question=answer.question if answer else None,
    )


def _snapshot(stream: Stream) -> tuple[int, int] | None:
    if stream.snapshot_from is None or stream.snapshot_until is None:
        return None
    return stream.snapshot_from, stream.snapshot_until


def _outgoing(
    stream: Stream, header: Batch, messages: list[tuple[UUID, str, bytes]], last: int, last_id: UUID | None
) -> Outgoing:
    # An answer is sent to the module that asked, not to all subscribers.
    audience = header.to.partition(".")[0] if header.to else header.audience
    return Outgoing(
        stream=stream.pk,
        routing_key=f"{header.source}.{audience}.{header.partition}",
        body=header.pack(messages),
        last=last,
        last_id=last_id,
    )
