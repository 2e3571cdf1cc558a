"""Publish a message in the transaction of the change that it describes (transactional outbox, microservices.io)."""

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
from django.db import connections

from pangaea import messages, modules
from pangaea.databases import engines
from pangaea.errors import Misuse
from pangaea.ids import uuid7
from pangaea.messages import KEY_LENGTH, LARGEST, Command, Event
from pangaea.telemetry import correlation
from pangaea.wire import Envelope

DEEPEST = 64
"""The deepest nesting of objects and arrays in a message's fields: the default of the strictest common parser
(System.Text.Json). Parsers use recursion; msgspec fails below 1,000 levels, depending on its caller's stack."""

_STRINGS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"')
_BRACKETS = re.compile(rb"[][{}]")

projecting: ContextVar[str | None] = ContextVar("projecting", default=None)
"""The projection whose handler is running, if one is."""


def publish(message: Event | Command, *, key: str) -> UUID:
    """Write a message to the outbox of the module that declares its class, and return the message's id.

    Call it after the aggregate's write, inside `transaction.atomic(using=<module>)`: the message exists if and only
    if that transaction commits. Messages of one key (the aggregate's id) are delivered in the order of their
    transactions: a transaction that publishes for the same key waits until this one ends. All modules may read an
    event, so it must not contain a secret.

    Raises Misuse outside a transaction, in a projection's handler, for another module's event, for an unusable key, and
    for a message of more than a mebibyte, nested more than 64 levels deep, or with text that not every database can
    store: a NUL, or half of a surrogate pair.
    """
    module = _sender(message)
    connection = connections[module]
    _check(message, module, key)
    envelope = Envelope(
        id=uuid7(),
        source=module,
        type=message.wire_name,
        subject=key,
        time=datetime.now(UTC),
        schemaversion=message.version,
        correlationid=correlation.current(),
        data=msgspec.Raw(_encoded(message)),
    )
    body = msgspec.json.encode(envelope)
    if len(body) > LARGEST:
        text = (
            f"{message.wire_name} takes {len(body):,} bytes; at most {LARGEST:,} are sent. Keep the large part "
            "where it can be fetched, and name that place in the message."
        )
        raise Misuse(text)
    engine = engines.of(module)
    engine.append(
        connection,
        engines.NewMessage(
            message_id=envelope.id,
            audience=messages.audience_of(message),
            key=key,
            name=message.wire_name,
            body=body.decode(),
            created_at=envelope.time,
        ),
    )
    engine.wake_after_commit(connection)
    return envelope.id


def _encoded(message: Event | Command) -> bytes:
    with suppress(RecursionError):
        data = _storable(message)
        if _levels(data) <= DEEPEST:
            return data
    text = (
        f"{message.wire_name} is nested more than {DEEPEST} levels deep, and some subscribers could not read it. "
        "Publish a list whose entries name their parents instead."
    )
    raise Misuse(text)


def _storable(message: Event | Command) -> bytes:
    with suppress(UnicodeEncodeError):
        data = msgspec.json.encode(message)
        # Usually nothing is escaped, and this test costs next to nothing.
        if b"\\u" not in data or all(map(_is_storable, _texts(json.loads(data)))):
            return data
    text = (
        f"{message.wire_name} has text with a NUL, or with half of a surrogate pair, which not every subscriber could "
        "store. Remove it where the text enters the system."
    )
    raise Misuse(text)


def _texts(value: Any) -> Iterator[str]:
    """Every text in decoded JSON, including the names of members."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, member in value.items():
            yield name
            yield from _texts(member)
    elif isinstance(value, list):
        for member in value:
            yield from _texts(member)


def _is_storable(text: str) -> bool:
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _levels(data: bytes) -> int:
    """The depth of nested objects and arrays in this JSON; 1 if it has too few brackets to exceed DEEPEST."""
    # Usually there are too few brackets to exceed the limit, and counting them costs next to nothing.
    if data.count(b"{") + data.count(b"[") <= DEEPEST:
        return 1
    level = deepest = 0
    for bracket in _BRACKETS.findall(_STRINGS.sub(b"", data)):
        level += 1 if bracket in b"[{" else -1
        deepest = max(deepest, level)
    return deepest


def _sender(message: Event | Command) -> str:
    owner = modules.owner_of(type(message))
    if owner is None:
        text = f"{type(message).__name__} is not declared in an installed module, so it has no outbox."
        raise Misuse(text)
    return owner.label


def _check(message: Event | Command, module: str, key: str) -> None:
    if isinstance(message, Event) and messages.module_of(message.wire_name) != module:
        text = f"{module} may not publish {message.wire_name}: only the module that owns an event publishes it."
        raise Misuse(text)
    if not key or len(key) > KEY_LENGTH or not _is_storable(key):
        text = (
            f"A key has 1 to {KEY_LENGTH} characters, as the id of an aggregate has; {message.wire_name} got {key!r}."
        )
        raise Misuse(text)
    if name := projecting.get():
        text = (
            f"The projection {name} tried to publish {message.wire_name}. "
            "It can be replayed, so it must not publish: use a Reaction."
        )
        raise Misuse(text)
    if not _in_transaction(module):
        text = (
            f"{message.wire_name} was published outside a transaction on {module!r}. Wrap the state change and the "
            f'call in transaction.atomic(using="{module}"), so that both happen or neither.'
        )
        raise Misuse(text)


def _in_transaction(alias: str) -> bool:
    connection = connections[alias]
    # A TestCase wraps every test in a transaction, with which this guard would pass for any caller.
    return any(not getattr(block, "_from_testcase", False) for block in connection.atomic_blocks)
