"""The projections. Each writes its own tables and reads no other, so any of them can be rebuilt by itself.

Every handler leaves the same rows when its message is applied again, which keeps a replay onto rows that are still
there as right as one onto empty tables.
"""

import structlog

from modules.web_bff import acl
from modules.web_bff.models import CatalogueItem, CheckoutOutcome, OrderLine, OrderSummary, Profile, TimelineEntry
from pangaea.inbox.subscriptions import Projection
from pangaea.messages import Received

log = structlog.get_logger()

profiles = Projection("web_bff.profiles", models=("Profile",))
catalogue = Projection("web_bff.catalogue", models=("CatalogueItem",))
orders = Projection("web_bff.orders", models=("OrderSummary", "OrderLine", "TimelineEntry"))
checkouts = Projection("web_bff.checkouts", models=("CheckoutOutcome",))


@profiles.on(acl.UserRegistered)
def show_profile(message: Received[acl.UserRegistered]) -> None:
    user = message.payload
    Profile.put(user.user_id, email=user.email, full_name=user.full_name, active=True)


@profiles.on(acl.ProfileChanged)
def change_profile(message: Received[acl.ProfileChanged]) -> None:
    user = message.payload
    Profile.put(user.user_id, email=user.email, full_name=user.full_name)


@profiles.on(acl.UserDeactivated)
def deactivate_profile(message: Received[acl.UserDeactivated]) -> None:
    user_id = message.payload.user_id
    if not Profile.objects.filter(pk=user_id).update(active=False):
        _nothing_to_change(message, user_id=user_id)


@catalogue.on(acl.ProductChanged)
def show_product(message: Received[acl.ProductChanged]) -> None:
    if message.payload.after is None:
        CatalogueItem.objects.filter(pk=message.key).delete()
    else:
        _show_entry(message.key, message.payload.after)


@catalogue.on(acl.ProductChangedV1)
def show_product_v1(message: Received[acl.ProductChangedV1]) -> None:
    _show_entry(message.payload.sku, message.payload)


def _show_entry(sku: str, product: acl.CatalogueEntry | acl.ProductChangedV1) -> None:
    CatalogueItem.put(
        sku,
        name=product.name,
        description=product.description,
        price_amount=product.price.amount,
        price_currency=product.price.currency,
        active=product.active,
    )


@orders.on(acl.OrderPlaced)
def show_order(message: Received[acl.OrderPlaced]) -> None:
    order = message.payload
    replayed = OrderSummary.put(
        order.order_id,
        customer_id=order.customer_id,
        status=OrderSummary.Status.PLACED,
        product_names=[line.name for line in order.lines],
        item_count=sum(line.quantity for line in order.lines),
        total_amount=order.total.amount,
        total_currency=order.total.currency,
        placed_at=order.placed_at,
        cancelled_at=None,
    )
    if replayed:
        OrderLine.objects.filter(order_id=order.order_id).delete()
        TimelineEntry.objects.filter(order_id=order.order_id).delete()
    OrderLine.objects.bulk_create(
        OrderLine(
            order_id=order.order_id,
            sku=line.sku,
            name=line.name,
            quantity=line.quantity,
            unit_price_amount=line.unit_price.amount,
            unit_price_currency=line.unit_price.currency,
        )
        for line in order.lines
    )
    TimelineEntry.objects.create(order_id=order.order_id, what=TimelineEntry.What.PLACED, at=order.placed_at)


@orders.on(acl.OrderCancelled)
def show_cancellation(message: Received[acl.OrderCancelled]) -> None:
    order_id, at = message.payload.order_id, message.payload.cancelled_at
    found = OrderSummary.objects.filter(pk=order_id).update(status=OrderSummary.Status.CANCELLED, cancelled_at=at)
    if not found:
        _nothing_to_change(message, order_id=order_id)
        return
    entry = TimelineEntry.objects.filter(order_id=order_id, what=TimelineEntry.What.CANCELLED)
    if not entry.update(at=at):
        TimelineEntry.objects.create(order_id=order_id, what=TimelineEntry.What.CANCELLED, at=at)


@checkouts.on(acl.CheckoutPlaced)
def show_checkout_placed(message: Received[acl.CheckoutPlaced]) -> None:
    placed = message.payload
    if placed.checkout_id:
        CheckoutOutcome.put(placed.checkout_id, order_id=placed.order_id, code="", detail="")


@checkouts.on(acl.CheckoutRefused)
def show_checkout_refused(message: Received[acl.CheckoutRefused]) -> None:
    refused = message.payload
    CheckoutOutcome.refuse(refused.checkout_id, code=refused.code, detail=refused.detail)


def _nothing_to_change(message: Received[acl.UserDeactivated] | Received[acl.OrderCancelled], **what: object) -> None:
    """One key's messages come in order, so the row is missing only where an operator gave up the message that makes it.

    Parking this one behind it would leave a dead letter that no redrive can ever apply.
    """
    log.warning("nothing to change", wire_name=message.payload.wire_name, position=message.position, **what)
