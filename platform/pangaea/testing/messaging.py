"""Messages in the tests of one module: those that it published, and delivery to it, without a bus or another module."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec

from pangaea import messages, modules
from pangaea.ids import uuid7
from pangaea.messages import ALL, Command, Event
from pangaea.wire import Batch, Envelope

if TYPE_CHECKING:
    from pangaea.inbox.subscriptions import Subscription


@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """A message in a module's outbox, as subscribers read it: `payload` is its JSON, so ids and times are strings.

    `audience` is "all", or the module to which a command is addressed.
    """

    id: UUID
    wire_name: str
    version: int
    audience: str
    key: str
    payload: dict[str, Any]
    correlation_id: str


def published(module: str) -> list[Published]:
    """The messages in the module's outbox, in the order of writing."""
    from pangaea.outbox.models import OutboxMessage

    rows = OutboxMessage.objects.using(module).order_by("id").values_list("audience", "body")
    envelopes = [(audience, msgspec.json.decode(body, type=Envelope)) for audience, body in rows]
    return [
        Published(
            id=envelope.id,
            wire_name=envelope.type,
            version=envelope.schemaversion,
            audience=audience,
            key=envelope.subject,
            payload=msgspec.json.decode(envelope.data),
            correlation_id=envelope.correlationid,
        )
        for audience, envelope in envelopes
    ]


def deliver(
    message: Event | Command | str,
    payload: Mapping[str, Any] | None = None,
    *,
    key: str,
    to: str,
    version: int = 1,
    sender: str | None = None,
    occurred_at: datetime | None = None,
    correlation_id: str = "test",
    may_park: bool = False,
) -> UUID:
    """Apply a message to the module `to`, as its worker applies the next one of a stream. Returns the message's id.

    `message` is an instance (the subscriber's own class works), or a wire name with the `payload` and `version` that
    the other module would send. A command needs its `sender`. Every subscription of `to` that handles the message
    receives it.

    A handler's error parks the message, as in the worker. Then AssertionError is raised with the handler's traceback,
    unless the test expects the error (`may_park=True`). AssertionError is also raised if no subscription handles the
    message.
    """
    if isinstance(message, str):
        name, data, is_command = message, msgspec.json.encode(payload or {}), sender is not None
    else:
        name, data, version = message.wire_name, msgspec.json.encode(message), message.version
        is_command = isinstance(message, Command)
    envelope = Envelope(
        id=uuid7(),
        source=sender or messages.module_of(name),
        type=name,
        subject=key,
        time=occurred_at or datetime.now(UTC),
        schemaversion=version,
        correlationid=correlation_id,
        data=msgspec.Raw(data),
    )
    audience = to if is_command else ALL
    subscribers: list[Subscription] = [each for each in modules.named(to).load_subscriptions() if each.versions(name)]
    assert subscribers, f"No subscription of {to} handles {name}."  # noqa: S101 - this is a test's helper
    for subscriber in subscribers:
        _deliver(subscriber, envelope, audience=audience, may_park=may_park)
    return envelope.id


def _deliver(subscriber: "Subscription", envelope: Envelope, *, audience: str, may_park: bool) -> None:
    from pangaea.inbox import consume
    from pangaea.inbox.models import Cursor, DeadLetter
    from pangaea.outbox.relay import partition_of

    module = subscriber.module
    stream = {
        "subscription": subscriber.name,
        "source": envelope.source,
        "audience": audience,
        "partition": partition_of(envelope.subject),
    }
    cursor = Cursor.objects.using(module).filter(**stream).first() or Cursor(**stream)
    batch = Batch(
        source=envelope.source,
        audience=audience,
        partition=cursor.partition,
        first=cursor.position + 1,
        before=cursor.message_id,
        head=cursor.position + 1,
        to=subscriber.name,
    )
    consume.receive(module, batch.pack([(envelope.id, envelope.subject, msgspec.json.encode(envelope))]))
    applied = Cursor.objects.using(module).filter(**stream, position=batch.first).exists()
    assert applied, f"{module} refused {envelope.type} from {envelope.source}; see the log for the reason."  # noqa: S101
    letter = DeadLetter.objects.using(module).filter(**stream, position=batch.first).first()
    if letter and not may_park:
        raise AssertionError(f"{subscriber.name} parked {envelope.type}: {letter}\n{letter.traceback}")
