"""What this module does on request. Each function joins the transaction that its caller opened on `orders`."""

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

import msgspec
import structlog
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone

from modules.orders.messages import Line, OrderCancelled, OrderPlaced
from modules.orders.models import MAX_STOCK, Customer, Order, Product
from modules.orders.queries import OrderDetails
from modules.orders.rules import pricing
from modules.orders.rules.pricing import PricedLine
from pangaea import errors, outbox
from pangaea.messages import Money

log = structlog.get_logger()


def place_order(*, customer_id: UUID, quantities: Mapping[str, int], checkout_id: UUID | None = None) -> OrderDetails:
    """Accept an order of these skus in the mapping's order, reserve their stock, and publish `orders.order_placed`.

    A checkout leads to one order: a second request returns it, and nothing is changed or published.

    Raises Forbidden (`customer_deactivated`), Invalid (`unknown_sku`, `mixed_currencies`, `invalid_order`) or Conflict
    (`out_of_stock`, with `sku` and `available`).
    """
    if checkout_id and (earlier := Order.of_checkout(checkout_id)):
        return OrderDetails.of(earlier)
    pricing.check_quantities(quantities)
    Customer.check_may_order(customer_id)
    products = Product.lock_on_sale(quantities.keys())
    lines = [
        PricedLine(sku=sku, name=products[sku].name, quantity=quantity, unit_price=products[sku].price)
        for sku, quantity in quantities.items()
    ]
    total = pricing.total(lines)
    Product.take(products, quantities)
    order = Order.place(customer_id=customer_id, lines=lines, total=total, now=timezone.now(), checkout_id=checkout_id)
    outbox.publish(
        OrderPlaced(
            order_id=order.id,
            customer_id=customer_id,
            lines=tuple(msgspec.convert(line, Line, from_attributes=True) for line in lines),
            total=total,
            placed_at=order.placed_at,
            checkout_id=checkout_id,
        ),
        key=str(order.id),
    )
    log.info("order placed", order_id=str(order.id), customer_id=str(customer_id), lines=len(lines))
    return OrderDetails.of(order, lines)


def cancel_order(
    *, order_id: UUID, customer_id: UUID | None = None, precondition: Callable[[int], None] | None = None
) -> OrderDetails:
    """Cancel an order, give its stock back, and publish `orders.order_cancelled`.

    With `customer_id` the order must be that customer's; operators pass none. `precondition` is called with the version
    of the locked order, and raises to refuse.

    Raises NotFound (`order_not_found`) or Conflict (`order_not_cancellable`).
    """
    order = Order.find(order_id, customer_id=customer_id, lock=True)
    if precondition:
        precondition(order.version)
    now = timezone.now()
    order.cancel(now=now)
    Product.give_back({line.sku: line.quantity for line in order.lines.all()})
    outbox.publish(
        OrderCancelled(order_id=order.id, customer_id=order.customer_id, cancelled_at=now),
        key=str(order.id),
    )
    log.info("order cancelled", order_id=str(order.id), by_operator=customer_id is None)
    return OrderDetails.of(order)


def add_product(
    *, sku: str, name: str, price: Money, description: str = "", active: bool = True, stock: int = 0
) -> Product:
    """Put a product into the catalogue; `orders.product_changed` is captured.

    Raises Conflict (`sku_taken`) or Invalid (`invalid_product`, with the `fields` and what is wrong with them).
    """
    entry: dict[str, Any] = {"name": name, "description": description, "price": price, "active": active}
    try:
        # A savepoint: a failed insert would otherwise leave the caller's transaction unusable.
        with transaction.atomic(using="orders"):
            product = Product.add(sku=sku, stock=stock, now=timezone.now(), **entry)
    except ValidationError as error:
        raise _invalid(error) from error
    except IntegrityError as error:
        # The insert writes into the outbox too, whose constraints are not about the sku.
        if not Product.objects.filter(sku=sku).exists():
            raise
        raise errors.Conflict("sku_taken", f"There is a product {sku} already.", sku=sku) from error
    log.info("product added", sku=sku, active=active)
    return product


def change_product(*, sku: str, name: str, description: str, price: Money, active: bool) -> Product:
    """Rewrite a product's entry in the catalogue; `orders.product_changed` is captured. An equal entry changes nothing.

    The stock has a command of its own. Raises NotFound (`product_not_found`) or Invalid (`invalid_product`).
    """
    product = Product.lock_entry(sku)
    if (product.name, product.description, product.price, product.active) == (name, description, price, active):
        return product
    try:
        product.change(name=name, description=description, price=price, active=active, now=timezone.now())
    except ValidationError as error:
        raise _invalid(error) from error
    log.info("product changed", sku=sku, active=active)
    return product


def adjust_stock(*, sku: str, by: int) -> None:
    """Add the pieces that arrived; with a negative number, remove those that broke.

    `by` is a difference and not a new level, so that sales while an operator looks at the form are not undone. Raises
    NotFound (`product_not_found`) or Conflict (`stock_out_of_range`, with the number `available`).
    """
    if Product.adjust_stock(sku, by=by):
        log.info("stock adjusted", sku=sku, by=by)
        return
    available = Product.lock_entry(sku).stock
    message = f"{available} of {sku} are left; {by:+} would leave the range from 0 to {MAX_STOCK}."
    raise errors.Conflict("stock_out_of_range", message, sku=sku, available=available)


def _invalid(error: ValidationError) -> errors.Invalid:
    fields = error.message_dict
    return errors.Invalid("invalid_product", f"Not valid: the product's {', '.join(sorted(fields))}.", fields=fields)
