"""What modules say to each other: typed, versioned, named independently of any class path."""

import re
from datetime import datetime
from typing import ClassVar, Generic, Literal, TypeVar
from uuid import UUID

import msgspec

EVERYBODY = "all"
LARGEST = 1024 * 1024
"""Bytes of a message as it is sent."""
KEY_LENGTH = 255
NAME = r"[a-z][a-z0-9_]*"
_WIRE_NAME = re.compile(rf"{NAME}\.{NAME}")


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A frozen set of fields with a wire name and a version. Use Event or Command."""

    wire_name: ClassVar[str]
    version: ClassVar[int] = 1


class Event(Message, frozen=True, kw_only=True):
    """Something that happened, in the past tense, for all who want to hear it: `orders.order_placed`.

    The module that owns it declares it in its `messages.py`. Who listens declares a class of its own with the same wire
    name and only the fields it needs, in its `acl.py`; fields it does not know are ignored.
    """


class Command(Message, frozen=True, kw_only=True):
    """Something one module is asked to do, in the imperative: `orders.place_order`.

    The first part of the name is the module that is asked.
    """


class Money(msgspec.Struct, frozen=True):
    """An amount in the currency's minor unit (cents), and the currency's ISO 4217 code."""

    amount: int
    currency: str


Operation = Literal["create", "update", "delete", "snapshot"]
"""What a captured change did to a row; `snapshot` tells of a row as it is, because somebody asked for all of them."""
M = TypeVar("M", bound=Message)


class Received(msgspec.Struct, Generic[M], frozen=True, kw_only=True):
    """A message as a handler gets it: the decoded fields, and what the envelope says of them."""

    payload: M
    id: UUID
    key: str
    occurred_at: datetime
    source: str
    position: int
    correlation_id: str


def check_wire_name(name: str) -> None:
    """Raise ValueError unless `name` is `<module>.<snake_case>`."""
    if not _WIRE_NAME.fullmatch(name):
        message = f"{name!r} is no wire name: it reads <module>.<what_happened>, like 'orders.order_placed'."
        raise ValueError(message)


def module_of(wire_name: str) -> str:
    """The module that owns the name: an event's producer, a command's receiver."""
    return wire_name.partition(".")[0]


def audience_of(message: Message) -> str:
    """Who a message is for: everybody, or the module that a command names."""
    return module_of(message.wire_name) if isinstance(message, Command) else EVERYBODY
