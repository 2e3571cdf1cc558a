"""What this module publishes, and the commands that it accepts.

Others know these messages by their wire names and schemas, never by these classes.
"""

from datetime import datetime
from typing import ClassVar
from uuid import UUID

import msgspec

from pangaea.messages import Command, Event, Money, Operation


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One product of an order, at the name and price of that moment."""

    sku: str
    name: str
    quantity: int
    unit_price: Money


class WantedLine(msgspec.Struct, frozen=True, kw_only=True):
    """A product and the wanted quantity. A product is in one line only."""

    sku: str
    quantity: int


class PlaceOrder(Command, frozen=True, kw_only=True):
    """Place this order, once: the same checkout again changes nothing. Key: the checkout's id.

    The sender generates `checkout_id`, and is responsible for `customer_id`. The reply is an event that carries the
    checkout's id, `orders.order_placed` or `orders.order_refused`.
    """

    wire_name: ClassVar[str] = "orders.place_order"
    version: ClassVar[int] = 1

    checkout_id: UUID
    customer_id: UUID
    lines: tuple[WantedLine, ...]


class OrderPlaced(Event, frozen=True, kw_only=True):
    """An order was accepted and its stock reserved. Key: the order's id.

    `checkout_id` is copied from the command; it is null if the customer ordered here directly.
    """

    wire_name: ClassVar[str] = "orders.order_placed"
    version: ClassVar[int] = 1

    order_id: UUID
    customer_id: UUID
    lines: tuple[Line, ...]
    total: Money
    placed_at: datetime
    checkout_id: UUID | None = None


class OrderRefused(Event, frozen=True, kw_only=True):
    """The business refused a checkout's order and changed nothing. Key: the checkout's id.

    `code` is stable, and one of the codes that the HTTP API answers with; `detail` is a sentence for people.
    """

    wire_name: ClassVar[str] = "orders.order_refused"
    version: ClassVar[int] = 1

    checkout_id: UUID
    customer_id: UUID
    code: str
    detail: str
    refused_at: datetime


class OrderCancelled(Event, frozen=True, kw_only=True):
    """A placed order was cancelled and its stock given back. Key: the order's id."""

    wire_name: ClassVar[str] = "orders.order_cancelled"
    version: ClassVar[int] = 1

    order_id: UUID
    customer_id: UUID
    cancelled_at: datetime


class CatalogueEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A product as the catalogue shows it. One that is not active is not for sale."""

    sku: str
    name: str
    description: str
    price: Money
    active: bool


class ProductChanged(Event, frozen=True, kw_only=True):
    """A product's entry in the catalogue was added, changed or removed, by any means. Key: the sku.

    Captured from the table: `before` is null if the entry was added, `after` if it was removed.
    """

    wire_name: ClassVar[str] = "orders.product_changed"
    version: ClassVar[int] = 2

    op: Operation
    before: CatalogueEntry | None
    after: CatalogueEntry | None
