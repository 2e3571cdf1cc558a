"""Messages of other modules, delivered to this module: payloads in the form of their schemas.

Each function takes changes of single fields, and returns the fields of the message's key.
"""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from pangaea.ids import uuid7
from pangaea.testing import deliver

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


def euros(cents: int) -> dict[str, Any]:
    return {"amount": cents, "currency": "EUR"}


def after(minutes: int) -> str:
    return (NOON + timedelta(minutes=minutes)).isoformat()


def user_registered(user_id: UUID | None = None, **changes: Any) -> UUID:
    user_id = user_id or uuid7()
    payload = {"user_id": str(user_id), "email": "ada@example.com", "full_name": "Ada L", "registered_at": after(0)}
    _deliver("users.user_registered", payload | changes, key=str(user_id))
    return user_id


def profile_changed(user_id: UUID, **changes: Any) -> None:
    payload = {"user_id": str(user_id), "email": "ada@example.com", "full_name": "Ada L", "changed_at": after(1)}
    _deliver("users.profile_changed", payload | changes, key=str(user_id))


def user_deactivated(user_id: UUID) -> None:
    payload = {"user_id": str(user_id), "deactivated_at": after(2)}
    _deliver("users.user_deactivated", payload, key=str(user_id))


def product_changed(sku: str, **changes: Any) -> None:
    entry = {"sku": sku, "name": f"The {sku}", "description": "Good.", "price": euros(500), "active": True}
    payload = {"op": "update", "before": None, "after": entry | changes}
    _deliver("orders.product_changed", payload, key=sku, version=2)


def product_deleted(sku: str) -> None:
    _deliver("orders.product_changed", {"op": "delete", "before": None, "after": None}, key=sku, version=2)


def product_changed_v1(sku: str, **changes: Any) -> None:
    entry = {"sku": sku, "name": f"The {sku}", "description": "Good.", "price": euros(500), "active": True}
    _deliver("orders.product_changed", entry | {"changed_at": after(0)} | changes, key=sku, version=1)


def line(sku: str, *, quantity: int = 1, cents: int = 500, name: str | None = None) -> dict[str, Any]:
    return {"sku": sku, "name": name or f"The {sku}", "quantity": quantity, "unit_price": euros(cents)}


def order_placed(
    customer_id: UUID,
    /,
    *lines: dict[str, Any],
    minutes: int = 0,
    order_id: UUID | None = None,
    may_park: bool = False,
    **changes: Any,
) -> UUID:
    order_id = order_id or uuid7()
    ordered = lines or (line("TEA-1"),)
    payload = {
        "order_id": str(order_id),
        "customer_id": str(customer_id),
        "lines": list(ordered),
        "total": euros(sum(each["quantity"] * each["unit_price"]["amount"] for each in ordered)),
        "placed_at": after(minutes),
    }
    _deliver("orders.order_placed", payload | changes, key=str(order_id), may_park=may_park)
    return order_id


def order_cancelled(order_id: UUID, customer_id: UUID, *, minutes: int = 5, may_park: bool = False) -> None:
    payload = {"order_id": str(order_id), "customer_id": str(customer_id), "cancelled_at": after(minutes)}
    _deliver("orders.order_cancelled", payload, key=str(order_id), may_park=may_park)


def order_refused(checkout_id: UUID, customer_id: UUID, *, may_park: bool = False, **changes: Any) -> None:
    payload = {
        "checkout_id": str(checkout_id),
        "customer_id": str(customer_id),
        "code": "out_of_stock",
        "detail": "TEA-1 is sold out.",
        "refused_at": after(1),
    }
    _deliver("orders.order_refused", payload | changes, key=str(checkout_id), may_park=may_park)


def _deliver(wire_name: str, payload: dict[str, Any], *, key: str, version: int = 1, may_park: bool = False) -> None:
    deliver(wire_name, payload, key=key, to="web_bff", version=version, may_park=may_park)
