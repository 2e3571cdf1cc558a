"""The read side. Results are frozen values; the number of queries of each function is constant."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Self, TypeVar
from uuid import UUID

from django.db.models import Count, Model, QuerySet, Sum

from modules.orders.models import Order, Product
from modules.orders.rules import lifecycle
from modules.orders.rules.lifecycle import Status
from modules.orders.rules.pricing import PricedLine
from pangaea import errors
from pangaea.messages import Money

M = TypeVar("M", bound=Model)
Page = Callable[[QuerySet[M]], Iterable[M] | None]
"""Takes a query and returns the rows of the requested page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderDetails:
    id: UUID
    status: str
    lines: tuple[PricedLine, ...]
    total: Money
    placed_at: datetime
    cancelled_at: datetime | None
    version: int

    @classmethod
    def of(cls, order: Order, lines: Iterable[PricedLine] | None = None) -> Self:
        """The details of an order. Its lines are read from the database unless the caller passes them."""
        if lines is None:
            lines = [line.priced for line in order.lines.all()]
        return cls(
            id=order.id,
            status=order.status,
            lines=tuple(lines),
            total=order.total,
            placed_at=order.placed_at,
            cancelled_at=order.cancelled_at,
            version=order.version,
        )

    @property
    def is_cancellable(self) -> bool:
        """Whether the order's state allows it to be cancelled."""
        return lifecycle.may_become(Status(self.status), Status.CANCELLED)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductDetails:
    sku: str
    name: str
    description: str
    price: Money
    in_stock: int
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sales:
    """Orders that were placed and not cancelled: their number, and their totals by currency."""

    orders: int
    totals: tuple[Money, ...]


def sales_since(moment: datetime) -> Sales:
    """What was ordered since this moment, and not cancelled. One query."""
    orders = Order.objects.filter(Order.placed_since(moment)).exclude(status=Status.CANCELLED)
    rows = orders.values_list("total_currency").annotate(Count("id"), Sum("total_amount")).order_by("total_currency")
    found = list(rows)
    totals = tuple(Money(amount, currency) for currency, _, amount in found)
    return Sales(orders=sum(number for _, number, _ in found), totals=totals)


def list_orders(*, customer_id: UUID, page: Page[Order]) -> list[OrderDetails]:
    """A page of the customer's orders. Two queries."""
    return [OrderDetails.of(order) for order in page(Order.of(customer_id)) or ()]


def read_order(*, customer_id: UUID, order_id: UUID) -> OrderDetails:
    """One of the customer's orders. Two queries. Raises NotFound (`order_not_found`), also for another customer's."""
    return OrderDetails.of(Order.find(order_id, customer_id=customer_id))


def list_products(*, page: Page[Product]) -> list[ProductDetails]:
    """A page of the products for sale. One query."""
    return [_product(product) for product in page(Product.on_sale()) or ()]


def read_product(*, sku: str) -> ProductDetails:
    """A product for sale. One query. Raises NotFound (`product_not_found`)."""
    product = Product.on_sale().filter(sku=sku).first()
    if product is None:
        raise errors.NotFound("product_not_found", "There is no such product for sale.", sku=sku)
    return _product(product)


def _product(product: Product) -> ProductDetails:
    return ProductDetails(
        sku=product.sku,
        name=product.name,
        description=product.description,
        price=product.price,
        in_stock=product.stock,
        version=product.version,
    )
