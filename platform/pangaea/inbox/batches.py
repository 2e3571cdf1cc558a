"""Decoded batches: messages at their positions. An unreadable message does not affect the others."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec
from msgspec.structs import replace

from pangaea.errors import MalformedMessage
from pangaea.messages import ALL, KEY_LENGTH
from pangaea.wire import PARTITIONS, UNDECODABLE, Batch, Entry, Envelope

NAME_LENGTH = 127

_ENVELOPE = msgspec.json.Decoder(Envelope)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """A message at its position in a batch. Its payload is not decoded: each subscription has its own class for it.

    If the message is unreadable or does not belong to the stream, `envelope` is None and `problem` is the reason. Then
    `id` and `key` are those of the message's entry in the batch; in a batch without entries they are read from the
    body. `name` is always read from the body. What the body does not give is None for `id`, else empty.
    """

    position: int
    body: msgspec.Raw
    id: UUID | None
    key: str
    name: str
    envelope: Envelope | None
    problem: str = ""


def decode(body: bytes) -> tuple[Batch, list[Delivered]]:
    """A batch and its messages. Raises MalformedMessage if the batch itself cannot be read."""
    try:
        batch = Batch.unpack(body)
    except UNDECODABLE as error:
        raise MalformedMessage(str(error)) from error
    if batch.partitions != PARTITIONS:
        message = (
            f"{batch.source} divides its streams into {batch.partitions} partitions, this process into {PARTITIONS}."
        )
        raise MalformedMessage(message)
    entries: Sequence[Entry | None] = batch.entries or [None] * len(batch.messages)
    bodies = enumerate(zip(batch.messages, entries, strict=True), batch.first)
    messages = [_delivered(position, body, entry, batch) for position, (body, entry) in bodies]
    return replace(batch, entries=None), messages


def read_again(body: str, *, position: int, source: str, audience: str, message_id: UUID | None, key: str) -> Delivered:
    """Read a parked message as it was delivered. Raises MalformedMessage if it is still unreadable."""
    raw = msgspec.Raw(body.encode())
    envelope = _envelope(raw, source=source, audience=audience, message_id=message_id, key=key)
    name = envelope.type
    return Delivered(position=position, body=raw, id=envelope.id, key=envelope.subject, name=name, envelope=envelope)


def _envelope(body: msgspec.Raw, *, source: str, audience: str, message_id: UUID | None, key: str) -> Envelope:
    """The envelope of one message. Raises MalformedMessage.

    The message must belong to its stream: a module publishes only its own events, and sends a receiver only that
    receiver's commands. It must have this id and this key, where they are known: stream and order depend on them.
    """
    try:
        envelope = _ENVELOPE.decode(body)
    except UNDECODABLE as error:
        raise MalformedMessage(f"The message is no envelope: {error}") from error
    if not _text(envelope.subject, KEY_LENGTH) or not _text(envelope.type, NAME_LENGTH):
        raise MalformedMessage("The message has a key or a name that is empty, too long or unprintable.")
    owner = source if audience == ALL else audience
    if envelope.source != source or envelope.type.partition(".")[0] != owner:
        text = f"{envelope.type} from {envelope.source} does not belong to the stream {source}.{audience}."
        raise MalformedMessage(text)
    if (message_id or envelope.id, key or envelope.subject) != (envelope.id, envelope.subject):
        text = (
            f"The message has id {envelope.id} and key {envelope.subject!r}; its outbox row, {message_id} and {key!r}."
        )
        raise MalformedMessage(text)
    return envelope


def _delivered(position: int, body: msgspec.Raw, entry: Entry | None, batch: Batch) -> Delivered:
    message_id, key = (entry.id, entry.key) if entry else (None, "")
    try:
        envelope = _envelope(body, source=batch.source, audience=batch.audience, message_id=message_id, key=key)
    except MalformedMessage as error:
        return _unreadable(position, body, entry, str(error))
    return Delivered(
        position=position, body=body, id=envelope.id, key=envelope.subject, name=envelope.type, envelope=envelope
    )


def _unreadable(position: int, body: msgspec.Raw, entry: Entry | None, problem: str) -> Delivered:
    try:
        found: Any = msgspec.json.decode(body)
    except UNDECODABLE:
        found = None
    fields = found if isinstance(found, dict) else {}
    message_id = entry.id if entry else _uuid(fields.get("id"))
    key = _text(entry.key if entry else fields.get("subject"), KEY_LENGTH)
    name = _text(fields.get("type"), NAME_LENGTH)
    return Delivered(position=position, body=body, id=message_id, key=key, name=name, envelope=None, problem=problem)


def _uuid(value: object) -> UUID | None:
    try:
        return UUID(str(value))
    except ValueError:
        return None


def _text(value: object, length: int) -> str:
    """The value if it is text that a column of this length can hold, else the empty string."""
    return value if isinstance(value, str) and len(value) <= length and "\0" not in value else ""
