"""Call the handlers of messages: decode into the subscriber's own class, form runs for batch handlers, correlate."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

import msgspec

from pangaea import modules
from pangaea.errors import MalformedMessage
from pangaea.inbox import in_flight
from pangaea.inbox.batches import Delivered
from pangaea.inbox.subscriptions import Handler, Subscription
from pangaea.messages import ALL, Received
from pangaea.outbox.publish import projecting
from pangaea.telemetry import correlation
from pangaea.wire import UNDECODABLE, Envelope


def handle(subscription: Subscription, messages: Iterable[Delivered], *, audience: str = ALL) -> None:
    """Call the subscription's handlers for these messages, in order. An event without a handler is skipped.

    Raises a handler's exceptions. Raises MalformedMessage for a message that is unreadable, for a version or fields
    that this subscription cannot read, and for a command that no subscription of its module handles: if it were
    skipped, a command of a sender that is newer than its receiver would be lost.
    """
    token = projecting.set(subscription.name if subscription.replayable else None)
    try:
        for handler, run in _runs(subscription, messages, audience):
            if handler.many:
                # A batch handler works for many requests at once; its log lines have the first one's id.
                with (
                    correlation.scope(run[0].correlation_id),
                    in_flight.running(subscription.name, run[0].id, run[-1].id),
                ):
                    handler.call(run)
            else:
                for message in run:
                    with (
                        correlation.scope(message.correlation_id),
                        in_flight.running(subscription.name, message.id, message.id),
                    ):
                        handler.call(message)
    finally:
        projecting.reset(token)


def _runs(
    subscription: Subscription, messages: Iterable[Delivered], audience: str
) -> Iterator[tuple[Handler, Sequence[Received[Any]]]]:
    """Consecutive messages that the same function handles, decoded."""
    for _, run in groupby(_handled(subscription, messages, audience), key=lambda entry: entry[0].call):
        members = list(run)
        yield members[0][0], [_received(subscription, *member) for member in members]


def _handled(
    subscription: Subscription, messages: Iterable[Delivered], audience: str
) -> Iterator[tuple[Handler, int, Envelope]]:
    for message in messages:
        if message.envelope is None:
            raise MalformedMessage(message.problem)
        handler = _handler_of(subscription, message.envelope, audience)
        if handler is not None:
            yield handler, message.position, message.envelope


def _handler_of(subscription: Subscription, envelope: Envelope, audience: str) -> Handler | None:
    handler = subscription.handlers.get((envelope.type, envelope.schemaversion))
    if handler is not None:
        return handler
    if versions := subscription.versions(envelope.type):
        known = " and ".join(str(version) for version in sorted(versions))
        text = f"{envelope.type} came in version {envelope.schemaversion}; {subscription.name} reads version {known}."
        raise MalformedMessage(text)
    if audience == subscription.module and not _is_handled(envelope.type, audience):
        text = f"{audience} does not handle {envelope.type}, which {envelope.source} sent to it."
        raise MalformedMessage(text)
    return None


def _is_handled(wire_name: str, module: str) -> bool:
    return any(each.versions(wire_name) for each in modules.named(module).load_subscriptions())


def _received(subscription: Subscription, handler: Handler, position: int, envelope: Envelope) -> Received[Any]:
    try:
        payload = msgspec.json.decode(envelope.data, type=handler.message_type)
    except UNDECODABLE as error:
        text = f"{envelope.type} does not have the fields that {subscription.name} needs: {error}"
        raise MalformedMessage(text) from error
    return Received(
        payload=payload,
        id=envelope.id,
        key=envelope.subject,
        occurred_at=envelope.time,
        source=envelope.source,
        position=position,
        correlation_id=envelope.correlationid,
    )
