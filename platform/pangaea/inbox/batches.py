"""Batches as they arrive: messages at their positions, of which some may be unreadable without spoiling the rest."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec

from pangaea.errors import MalformedMessage
from pangaea.messages import EVERYBODY, KEY_LENGTH, PARTITIONS, Batch, Envelope, module_of

NAME_LENGTH = 127
UNDECODABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding raises. A batch is only skimmed for where its messages end; bad UTF-8 and depth show in the message."""

_BATCH = msgspec.json.Decoder(Batch)
_ENVELOPE = msgspec.json.Decoder(Envelope)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A message at its position in a batch.

    Of one that cannot be read, or does not belong here, `id`, `key` and `name` are what can be made out of it, None or
    empty where nothing can, and `problem` says why.
    """

    position: int
    body: msgspec.Raw
    id: UUID | None
    key: str
    name: str
    envelope: Envelope | None
    problem: str = ""

    def open(self) -> Envelope:
        """The envelope. Raises MalformedMessage where there is a problem."""
        if self.envelope is None:
            raise MalformedMessage(self.problem)
        return self.envelope


def decode(body: bytes) -> tuple[Batch, list[Place]]:
    """A batch and its messages. Raises MalformedMessage when the batch as such cannot be read."""
    try:
        batch = _BATCH.decode(body)
    except msgspec.DecodeError as error:
        raise MalformedMessage(str(error)) from error
    if batch.partitions != PARTITIONS:
        message = (
            f"{batch.source} divides its streams into {batch.partitions} partitions, this process into {PARTITIONS}."
        )
        raise MalformedMessage(message)
    return batch, [_place(position, message, batch) for position, message in enumerate(batch.messages, batch.first)]


def read_envelope(body: msgspec.Raw | str, *, source: str | None = None, audience: str = EVERYBODY) -> Envelope:
    """The envelope of one message. Raises MalformedMessage.

    With `source` it must belong into that stream: a module says only its own events, and asks its receiver's commands.
    """
    try:
        envelope = _ENVELOPE.decode(body)
    except UNDECODABLE as error:
        raise MalformedMessage(f"The message is no envelope: {error}") from error
    if not _text(envelope.subject, KEY_LENGTH) or not _text(envelope.type, NAME_LENGTH):
        raise MalformedMessage("The message has a key or a name that is empty, too long or unprintable.")
    owner = source if audience == EVERYBODY else audience
    if source and (envelope.source != source or module_of(envelope.type) != owner):
        text = f"{envelope.type} from {envelope.source} does not belong into the stream {source}.{audience}."
        raise MalformedMessage(text)
    return envelope


def _place(position: int, body: msgspec.Raw, batch: Batch) -> Place:
    try:
        envelope = read_envelope(body, source=batch.source, audience=batch.audience)
    except MalformedMessage as error:
        return _unreadable(position, body, str(error))
    return Place(
        position=position, body=body, id=envelope.id, key=envelope.subject, name=envelope.type, envelope=envelope
    )


def _unreadable(position: int, body: msgspec.Raw, problem: str) -> Place:
    try:
        found: Any = msgspec.json.decode(body)
    except UNDECODABLE:
        found = None
    fields = found if isinstance(found, dict) else {}
    try:
        message_id = UUID(str(fields.get("id")))
    except ValueError:
        message_id = None
    key, name = _text(fields.get("subject"), KEY_LENGTH), _text(fields.get("type"), NAME_LENGTH)
    return Place(position=position, body=body, id=message_id, key=key, name=name, envelope=None, problem=problem)


def _text(value: object, length: int) -> str:
    """The value if a column of that length can hold it, else nothing."""
    return value if isinstance(value, str) and len(value) <= length and "\0" not in value else ""
