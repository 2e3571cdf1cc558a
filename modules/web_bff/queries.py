"""The read side: the contents of the pages as frozen values. The number of queries of each function is constant."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from django.db.models import QuerySet

from modules.web_bff.models import CatalogueItem, Checkout, CheckoutOutcome, OrderSummary, Profile
from pangaea import errors
from pangaea.messages import Money

Page = Callable[[QuerySet[OrderSummary]], Sequence[OrderSummary] | None]
"""Takes a query and returns the rows of the requested page."""

LATEST_ORDERS = 5
TEASER_PRODUCTS = 6


@dataclass(frozen=True, kw_only=True, slots=True)
class Me:
    user_id: UUID
    email: str
    full_name: str
    active: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class OrderCard:
    """An order as a row of a list. `item_count` adds up the quantities, `product_names` follow the order's lines."""

    id: UUID
    status: str
    product_names: list[str]
    item_count: int
    total: Money
    placed_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Product:
    sku: str
    name: str
    description: str
    price: Money


@dataclass(frozen=True, kw_only=True, slots=True)
class HomePage:
    """`me` is None while the profile has not arrived from users."""

    me: Me | None
    latest_orders: list[OrderCard]
    catalogue: list[Product]


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    sku: str
    name: str
    quantity: int
    unit_price: Money


@dataclass(frozen=True, kw_only=True, slots=True)
class Milestone:
    at: datetime
    what: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """An order on a page of its own. The timeline begins with the oldest event."""

    id: UUID
    status: str
    lines: list[Line]
    item_count: int
    total: Money
    placed_at: datetime
    cancelled_at: datetime | None
    timeline: list[Milestone]


class CheckoutStatus(StrEnum):
    PENDING = "pending"
    PLACED = "placed"
    REFUSED = "refused"


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """`code` is stable; `detail` is a sentence for the customer."""

    code: str
    detail: str


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckoutState:
    """`order_id` is set if and only if the checkout is placed, `refusal` if and only if it is refused."""

    id: UUID
    status: CheckoutStatus
    order_id: UUID | None = None
    refusal: Refusal | None = None


def checkouts_since(moment: datetime) -> int:
    """How many checkouts were requested since this moment. One query."""
    return Checkout.asked_since(moment).count()


def read_home(*, customer_id: UUID) -> HomePage:
    """The customer, their latest orders and the first products of the catalogue by name. Three queries."""
    profile = Profile.objects.filter(pk=customer_id).first()
    orders = OrderSummary.of(customer_id)
    products = CatalogueItem.objects.filter(active=True).order_by("name", "sku")
    return HomePage(
        me=None
        if profile is None
        else Me(user_id=profile.user_id, email=profile.email, full_name=profile.full_name, active=profile.active),
        latest_orders=[_card(order) for order in orders[:LATEST_ORDERS]],
        catalogue=[
            Product(sku=item.sku, name=item.name, description=item.description, price=item.price)
            for item in products[:TEASER_PRODUCTS]
        ],
    )


def list_orders(*, customer_id: UUID, page: Page) -> list[OrderCard]:
    """A page of the customer's orders, the latest first. One query."""
    return [_card(order) for order in page(OrderSummary.of(customer_id)) or ()]


def read_order(*, order_id: UUID, customer_id: UUID) -> Order:
    """One order of this customer with its lines and its timeline. Three queries.

    Raises NotFound (`order_not_found`) for an order that has not arrived, and likewise for another customer's.
    """
    found = OrderSummary.of(customer_id).filter(pk=order_id).first()
    if found is None:
        raise errors.NotFound("order_not_found", "There is no such order.")
    return Order(
        id=found.id,
        status=found.status,
        lines=[
            Line(sku=line.sku, name=line.name, quantity=line.quantity, unit_price=line.unit_price)
            for line in found.lines.order_by("id")
        ],
        item_count=found.item_count,
        total=found.total,
        placed_at=found.placed_at,
        cancelled_at=found.cancelled_at,
        timeline=[Milestone(at=entry.at, what=entry.what) for entry in found.timeline.order_by("id")],
    )


def read_checkout(*, checkout_id: UUID, customer_id: UUID) -> CheckoutState:
    """The result of this customer's checkout. Two queries. Raises NotFound (`checkout_not_found`)."""
    checkout = Checkout.find(checkout_id, customer_id=customer_id)
    outcome = CheckoutOutcome.objects.filter(pk=checkout.pk).first()
    if outcome is None:
        return CheckoutState(id=checkout.id, status=CheckoutStatus.PENDING)
    if outcome.order_id:
        return CheckoutState(id=checkout.id, status=CheckoutStatus.PLACED, order_id=outcome.order_id)
    refusal = Refusal(code=outcome.code, detail=outcome.detail)
    return CheckoutState(id=checkout.id, status=CheckoutStatus.REFUSED, refusal=refusal)


def _card(found: OrderSummary) -> OrderCard:
    return OrderCard(
        id=found.id,
        status=found.status,
        product_names=found.product_names,
        item_count=found.item_count,
        total=found.total,
        placed_at=found.placed_at,
    )
