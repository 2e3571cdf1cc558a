"""The types that cross the broker: envelopes, batches, requests to catch up, reports.

On the wire a message is a CloudEvents 1.0 JSON object (https://cloudevents.io): `type` is the wire name, `subject` is
the key, `data` has the fields. The broker's unit is a batch: consecutive messages of one stream, and the id of the
message before the first. All bytes from the broker are decoded into these types, so that no other shape reaches a
table.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec.structs import replace

from pangaea.messages import NAME

PARTITIONS = 8
UNDECODABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""The errors of decoding bytes that are not JSON, not UTF-8, or nested too deeply."""

ModuleName = Annotated[str, msgspec.Meta(pattern=rf"\A{NAME}\Z", max_length=63)]
SubscriptionName = Annotated[str, msgspec.Meta(pattern=rf"\A{NAME}\.{NAME}(~shadow)?\Z", max_length=127)]
Partition = Annotated[int, msgspec.Meta(ge=0, lt=PARTITIONS)]
Position = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Question = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """The CloudEvents object on the wire. `schemaversion` and `correlationid` are extension attributes."""

    specversion: str = "1.0"
    id: UUID
    source: str
    type: str
    subject: str
    time: datetime
    datacontenttype: str = "application/json"
    schemaversion: int
    correlationid: str
    data: msgspec.Raw


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """A message's id, key and length in bytes, in the batch's header: readable whatever the message's bytes are."""

    id: UUID
    key: str
    length: int


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """Consecutive messages of one stream. A batch without messages announces the last position sent.

    `messages` are undecoded bytes, and `entries` has one entry per message: a message that is not JSON, or is nested
    too deeply for the decoder to skip it, does not make the others unreadable. A producer of the previous version sends
    no `entries`. No field may follow `messages`.

    `before` is the id of the message at `first - 1`, None at the stream's beginning: it chains batches together. `head`
    is the stream's last position. Messages up to `floor` are deleted; `floor_id` is the id of the last of them. The
    last snapshot, which published all rows that the producer captures, began after the first position of `snapshot` and
    ended at the second.

    An answer to a request names the subscription that asked (`to`), the position after which it asked (`asked`) and the
    request's number (`question`; None for a request without a number).
    """

    source: ModuleName
    audience: ModuleName
    partition: Partition
    partitions: int = PARTITIONS
    first: Position
    before: UUID | None
    head: Position
    floor: Position = 0
    floor_id: UUID | None = None
    snapshot: tuple[Position, Position] | None = None
    to: SubscriptionName | None = None
    asked: Position | None = None
    question: Question | None = None
    entries: list[Entry] | None = None
    messages: list[msgspec.Raw] = msgspec.field(default_factory=list)

    @property
    def last(self) -> int:
        """The position of the last message; in an announcement, the position before `first`."""
        return self.first + len(self.messages) - 1

    def pack(self, messages: Iterable[tuple[UUID, str, bytes]] = ()) -> bytes:
        """The bytes of the batch with these messages (id, key and bytes of each), as they cross the broker.

        They are one JSON object if each message is JSON; the previous version reads them as such.
        """
        rows = list(messages)
        header = replace(self, entries=[Entry(*row[:2], len(row[2])) for row in rows], messages=[])
        return msgspec.json.encode(header).removesuffix(b"]}") + b",".join([row[2] for row in rows]) + b"]}"

    @classmethod
    def unpack(cls, body: bytes) -> "Batch":
        """The batch that `pack` wrote. Raises msgspec.DecodeError if its own fields or its lengths are wrong.

        In a batch without entries the decoder searches for the ends of the messages, which can raise RecursionError or
        UnicodeDecodeError.
        """
        # No string in the header contains this text: a quotation mark in a string has a backslash before it.
        start = body.find(_MESSAGES)
        header = _BATCH.decode(body[:start] + b"}" if start >= 0 else body)
        if header.entries is None:
            return _BATCH.decode(body)
        start += len(_MESSAGES)
        raws: list[msgspec.Raw] = []
        for entry in header.entries:
            end = start + max(entry.length, 0)
            raws.append(msgspec.Raw(body[start:end]))
            start = end + 1  # the comma
        if body[start - 1 if raws else start :] != b"]}":
            raise msgspec.DecodeError("The lengths of the messages do not add up to the batch.")
        return replace(header, messages=raws)


_BATCH = msgspec.json.Decoder(Batch)
_MESSAGES = b',"messages":['


class CatchUp(msgspec.Struct, frozen=True, kw_only=True):
    """A subscription's request for all messages of a stream after its cursor. `message_id` is the id at that position.

    `question` is the request's number, which its answers carry; only its answers decide whether the subscription has
    diverged. `snapshot_after`: the position of the floor at which the subscription began. It needs a snapshot that
    begins after this position.
    """

    subscription: SubscriptionName
    source: ModuleName
    audience: ModuleName
    partition: Partition
    position: Position
    message_id: UUID | None
    question: Question | None = None
    snapshot_after: Position | None = None


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A subscription's cursors on the streams of one module, each as (audience, partition, position)."""

    subscription: SubscriptionName
    source: ModuleName
    cursors: Annotated[list[tuple[ModuleName, Partition, Position]], msgspec.Meta(max_length=2 * PARTITIONS)]
