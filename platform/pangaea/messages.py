"""The messages that modules send each other: typed, versioned, and named independently of any class path."""

import re
from datetime import datetime
from decimal import Decimal
from typing import ClassVar, Generic, Literal, TypeVar
from uuid import UUID

import msgspec

ALL = "all"
LARGEST = 1024 * 1024
"""The size of the largest message in bytes, including its envelope."""
KEY_LENGTH = 255
_DECIMALS = {
    currency: decimals
    for decimals, currencies in {
        0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
        3: "BHD IQD JOD KWD LYD OMR TND",
        4: "CLF UYW",
    }.items()
    for currency in currencies.split()
}
"""Digits of the minor unit, by currency; two for all others (ISO 4217, list one)."""
NAME = r"[a-z][a-z0-9_]*"
_WIRE_NAME = re.compile(rf"{NAME}\.{NAME}")


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A frozen set of fields with a wire name and a version. Derive from Event or Command instead."""

    wire_name: ClassVar[str]
    version: ClassVar[int] = 1


class Event(Message, frozen=True, kw_only=True):
    """Something that happened, named in the past tense, for all modules that subscribe to it: `orders.order_placed`.

    The module that owns the event declares it in its `messages.py`. A subscriber declares its own class in its
    `acl.py`, with the same wire name and only the fields that it needs; other fields are ignored.
    """


class Command(Message, frozen=True, kw_only=True):
    """A request to one module, named in the imperative: `orders.place_order`.

    The first part of the name is the receiving module.
    """


class Money(msgspec.Struct, frozen=True):
    """An amount in the currency's minor unit (cents), and the currency's ISO 4217 code."""

    amount: int
    currency: str

    def __str__(self) -> str:
        """As people write it: `1,234.50 EUR`."""
        decimals = _DECIMALS.get(self.currency, 2)
        return f"{Decimal(self.amount).scaleb(-decimals):,.{decimals}f} {self.currency}"


Operation = Literal["create", "update", "delete", "snapshot"]
"""The change of a captured row. With `snapshot` the row has not changed: a snapshot publishes all rows."""
M = TypeVar("M", bound=Message)


class Received(msgspec.Struct, Generic[M], frozen=True, kw_only=True):
    """A message as a handler receives it: the decoded fields, and the metadata of its envelope."""

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
    """The audience of a message: all modules, or a command's receiver."""
    return module_of(message.wire_name) if isinstance(message, Command) else ALL
