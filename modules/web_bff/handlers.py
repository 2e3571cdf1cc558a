"""The projections. Each writes and reads only its own tables, so each can be rebuilt without the others.

Handlers are idempotent: a message that is applied again leaves the same rows. So a replay over existing rows is as
right as one into empty tables.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from uuid import UUID

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


@orders.on_batch(acl.OrderPlaced, acl.OrderCancelled)
def show_orders(messages: Sequence[Received[acl.OrderEvent]]) -> None:
    """Apply a run of messages in a constant number of queries. Messages of the same order are applied in sequence."""
    stored = OrderSummary.objects.in_bulk([message.payload.order_id for message in messages])
    summaries = dict(stored)
    placed: dict[UUID, acl.OrderPlaced] = {}
    timeline: dict[tuple[UUID, TimelineEntry.What], datetime] = {}
    for message in messages:
        match message.payload:
            case acl.OrderPlaced(order_id=order_id) as order:
                summaries[order_id], placed[order_id] = _summary(order), order
                timeline.pop((order_id, TimelineEntry.What.CANCELLED), None)
                timeline[order_id, TimelineEntry.What.PLACED] = order.placed_at
            case acl.OrderCancelled(order_id=order_id, cancelled_at=at) if order_id in summaries:
                summaries[order_id].cancel(at=at)
                timeline[order_id, TimelineEntry.What.CANCELLED] = at
            case payload:
                _nothing_to_change(message, order_id=payload.order_id)
    if replayed := placed.keys() & stored.keys():
        OrderLine.objects.filter(order_id__in=replayed).delete()
        TimelineEntry.objects.filter(order_id__in=replayed).delete()
    changed = {order_id for order_id, _ in timeline}
    OrderSummary.put_all([summary for order_id, summary in summaries.items() if order_id in changed])
    OrderLine.objects.bulk_create(line for order in placed.values() for line in _lines(order))
    TimelineEntry.put_all([TimelineEntry(order_id=id_, what=what, at=at) for (id_, what), at in timeline.items()])


def _summary(order: acl.OrderPlaced) -> OrderSummary:
    return OrderSummary(
        id=order.order_id,
        customer_id=order.customer_id,
        status=OrderSummary.Status.PLACED,
        product_names=[line.name for line in order.lines],
        item_count=sum(line.quantity for line in order.lines),
        total_amount=order.total.amount,
        total_currency=order.total.currency,
        placed_at=order.placed_at,
        cancelled_at=None,
    )


def _lines(order: acl.OrderPlaced) -> Iterator[OrderLine]:
    for line in order.lines:
        yield OrderLine(
            order_id=order.order_id,
            sku=line.sku,
            name=line.name,
            quantity=line.quantity,
            unit_price_amount=line.unit_price.amount,
            unit_price_currency=line.unit_price.currency,
        )


@checkouts.on(acl.CheckoutPlaced)
def show_checkout_placed(message: Received[acl.CheckoutPlaced]) -> None:
    placed = message.payload
    if placed.checkout_id:
        CheckoutOutcome.put(placed.checkout_id, order_id=placed.order_id, code="", detail="")


@checkouts.on(acl.CheckoutRefused)
def show_checkout_refused(message: Received[acl.CheckoutRefused]) -> None:
    refused = message.payload
    CheckoutOutcome.refuse(refused.checkout_id, code=refused.code, detail=refused.detail)


def _nothing_to_change(message: Received[acl.UserDeactivated] | Received[acl.OrderEvent], **what: object) -> None:
    """Log that the row to change is missing.

    A key's messages come in order, so an operator has discarded the message that creates the row. If this message were
    parked, it would be a dead letter that no redrive could ever apply.
    """
    log.warning("change skipped", wire_name=message.payload.wire_name, position=message.position, **what)
