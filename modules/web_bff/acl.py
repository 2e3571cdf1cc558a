"""The messages that this module receives, with only the fields that a page shows, and the commands that it sends.

A message is identified by its wire name and version. Fields that are not declared here are skipped on decoding, so
their owners are free to add some.
"""

from datetime import datetime
from typing import ClassVar
from uuid import UUID

import msgspec

from pangaea.messages import Command, Event, Money

# From users; in sequence per account


class UserRegistered(Event, frozen=True, kw_only=True):
    wire_name: ClassVar[str] = "users.user_registered"
    version: ClassVar[int] = 1

    user_id: UUID
    email: str
    full_name: str


class ProfileChanged(Event, frozen=True, kw_only=True):
    wire_name: ClassVar[str] = "users.profile_changed"
    version: ClassVar[int] = 1

    user_id: UUID
    email: str
    full_name: str


class UserDeactivated(Event, frozen=True, kw_only=True):
    wire_name: ClassVar[str] = "users.user_deactivated"
    version: ClassVar[int] = 1

    user_id: UUID


# From orders; in sequence per order and per product


class LinePlaced(msgspec.Struct, frozen=True, kw_only=True):
    """`name` and `unit_price` are as they were when the order was placed."""

    sku: str
    name: str
    quantity: int
    unit_price: Money


class OrderEvent(Event, frozen=True, kw_only=True):
    """The field that all events of an order have."""

    order_id: UUID


class OrderPlaced(OrderEvent, frozen=True, kw_only=True):
    wire_name: ClassVar[str] = "orders.order_placed"
    version: ClassVar[int] = 1

    customer_id: UUID
    lines: list[LinePlaced]
    total: Money
    placed_at: datetime


class OrderCancelled(OrderEvent, frozen=True, kw_only=True):
    wire_name: ClassVar[str] = "orders.order_cancelled"
    version: ClassVar[int] = 1

    cancelled_at: datetime


class CheckoutPlaced(Event, frozen=True, kw_only=True):
    """The same message as OrderPlaced, with the fields that the result of a checkout needs."""

    wire_name: ClassVar[str] = "orders.order_placed"
    version: ClassVar[int] = 1

    order_id: UUID
    checkout_id: UUID | None = None


class CheckoutRefused(Event, frozen=True, kw_only=True):
    wire_name: ClassVar[str] = "orders.order_refused"
    version: ClassVar[int] = 1

    checkout_id: UUID
    code: str
    detail: str


class CatalogueEntry(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    description: str
    price: Money
    active: bool


class ProductChanged(Event, frozen=True, kw_only=True):
    """`after` is the product's whole entry after the change; None when it was deleted. The key is the sku."""

    wire_name: ClassVar[str] = "orders.product_changed"
    version: ClassVar[int] = 2

    after: CatalogueEntry | None


class ProductChangedV1(Event, frozen=True, kw_only=True):
    """The previous version. Streams still hold messages of it, which a rebuild reads again."""

    wire_name: ClassVar[str] = "orders.product_changed"
    version: ClassVar[int] = 1

    sku: str
    name: str
    description: str
    price: Money
    active: bool


# To orders; in sequence per checkout


class WantedLine(msgspec.Struct, frozen=True, kw_only=True):
    sku: str
    quantity: int


class PlaceOrder(Command, frozen=True, kw_only=True):
    """Answered by the order that was placed, or by a refusal."""

    wire_name: ClassVar[str] = "orders.place_order"
    version: ClassVar[int] = 1

    checkout_id: UUID
    customer_id: UUID
    lines: tuple[WantedLine, ...]
