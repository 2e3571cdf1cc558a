"""Products, clients and comparisons for this module's tests."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any, TypeVar
from uuid import UUID, uuid4

from django.db import connections, transaction
from rest_framework.test import APIClient

from modules.orders import commands
from modules.orders.models import Customer, Order, OrderLine, Product
from pangaea import testing
from pangaea.messages import Money
from pangaea.testing import Published

ORDERS = "/api/v1/orders"
PRODUCTS = "/api/v1/products"

T = TypeVar("T")


def stocked(sku: str, *, stock: int = 10, amount: int = 250, currency: str = "EUR", **entry: Any) -> Product:
    """A product in the catalogue."""
    with transaction.atomic(using="orders"):
        return commands.add_product(
            sku=sku, name=entry.pop("name", f"The {sku}"), price=Money(amount, currency), stock=stock, **entry
        )


def customer(subject: UUID | None = None, *scopes: str) -> APIClient:
    return testing.client_for(subject or uuid4(), scopes or None)


def keyed(key: str = "", *, if_match: str = "") -> dict[str, Any]:
    """The argument of a client's method that sends this key, or a new one; and this condition."""
    return {"headers": {"Idempotency-Key": key or uuid4().hex} | ({"If-Match": if_match} if if_match else {})}


def lines(**quantities: Any) -> dict[str, Any]:
    """An order's body. Underscores stand for the dashes of skus."""
    return {"lines": [{"sku": sku.replace("_", "-"), "quantity": each} for sku, each in quantities.items()]}


def stock_of(sku: str) -> int:
    return Product.objects.get(pk=sku).stock


def published(wire_name: str) -> list[Published]:
    return [message for message in testing.published("orders") if message.wire_name == wire_name]


def everything() -> dict[str, object]:
    """All state that a refused request must leave unchanged."""
    return {
        "products": list(Product.objects.order_by("pk").values()),
        "orders": list(Order.objects.order_by("pk").values()),
        "lines": list(OrderLine.objects.order_by("pk").values()),
        "customers": list(Customer.objects.order_by("pk").values()),
        "outbox": len(testing.published("orders")),
    }


def at_once(count: int, work: Callable[[int], T]) -> list[T]:
    """The results of `work(0)` to `work(count - 1)`, each in its own thread; all threads start together."""
    rendezvous = Barrier(count, timeout=60)

    def one(number: int) -> T:
        try:
            rendezvous.wait()
            return work(number)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))
