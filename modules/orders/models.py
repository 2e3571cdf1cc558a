"""The aggregates: Product (price and stock), Order (with its lines), and the replica of Customer.

Locks are taken in one order everywhere, so that no two transactions wait for each other: an order's row, then products
by sku, then the keys of messages.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Self
from uuid import UUID

from django.core.validators import MaxLengthValidator, MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Case, F, Q, QuerySet, Value, When

from modules.orders.messages import ProductChanged
from modules.orders.rules import lifecycle, pricing
from modules.orders.rules.lifecycle import Status
from modules.orders.rules.pricing import PricedLine
from pangaea import errors, text
from pangaea.change_capture import Capture, money
from pangaea.databases.versions import VersionField
from pangaea.ids import uuid7, uuid7_from
from pangaea.messages import Money

MAX_STOCK = 10**9
FIRST_ID, LAST_ID = datetime(1970, 1, 2, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)
STATES = [status.value for status in Status]


class Product(models.Model):
    """A product: its entry in the catalogue, and its stock."""

    sku = models.CharField(
        "SKU",
        max_length=32,
        primary_key=True,
        validators=[RegexValidator(r"\A[A-Z0-9]+(-[A-Z0-9]+)*\Z", "Use capital letters and digits, joined by -.")],
        help_text="The product's identity: it cannot be changed later.",
    )
    name = models.CharField(max_length=200, validators=[text.validate_name])
    description = models.TextField(blank=True, default="", validators=[MaxLengthValidator(2_000), text.validate_prose])
    price_amount = models.BigIntegerField(
        "price",
        validators=[MinValueValidator(0), MaxValueValidator(pricing.MAX_PRICE)],
        help_text="In the currency's smallest unit: 1999 is 19.99 EUR.",
    )
    price_currency = models.CharField(
        "currency",
        max_length=3,
        validators=[RegexValidator(r"\A[A-Z]{3}\Z", "Use the three capital letters of ISO 4217, like EUR.")],
    )
    stock = models.BigIntegerField(default=0, validators=[MinValueValidator(0), MaxValueValidator(MAX_STOCK)])
    active = models.BooleanField(default=True, help_text="Only an active product is listed and sold.")
    changed_at = models.DateTimeField(editable=False)
    version = VersionField()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(stock__gte=0), name="orders_product_stock_not_negative"),
            models.CheckConstraint(
                condition=Q(price_amount__gte=0, price_amount__lte=pricing.MAX_PRICE),
                name="orders_product_price_in_range",
            ),
        ]
        indexes = [
            models.Index(fields=["name", "sku"], condition=Q(active=True), name="orders_product_on_sale"),
            models.Index(
                fields=["price_currency", "price_amount", "sku"],
                condition=Q(active=True),
                name="orders_product_by_price",
            ),
        ]

    def __str__(self) -> str:
        return self.sku

    # Factories

    @classmethod
    def add(
        cls, *, sku: str, stock: int, name: str, description: str, price: Money, active: bool, now: datetime
    ) -> Self:
        """Store a new product. Raises Django's ValidationError for a bad field, IntegrityError for a sku in use."""
        product = cls(sku=sku, stock=stock)
        product._describe(name=name, description=description, price=price, active=active, now=now)
        product.save(force_insert=True)
        return product

    # Mutators

    def change(self, *, name: str, description: str, price: Money, active: bool, now: datetime) -> None:
        """Rewrite the catalogue's entry and leave the stock alone. Raises Django's ValidationError for a bad field."""
        self._describe(name=name, description=description, price=price, active=active, now=now)
        # Naming the columns keeps a stock that was read earlier from being written back.
        self.save(update_fields=["name", "description", "price_amount", "price_currency", "active", "changed_at"])
        self.version += 1

    def _describe(self, *, name: str, description: str, price: Money, active: bool, now: datetime) -> None:
        self.name, self.description = text.composed(name), text.composed(description)
        self.price_amount, self.price_currency = price.amount, price.currency
        self.active, self.changed_at = active, now
        self.clean_fields()
        self.name, self.description = text.name(self.name), text.prose(self.description)

    @classmethod
    def adjust_stock(cls, sku: str, *, by: int) -> bool:
        """Add `by` pieces, which may be negative. False, without a change, for a result outside 0 to MAX_STOCK."""
        return bool(cls.objects.filter(sku=sku, stock__range=(-by, MAX_STOCK - by)).update(stock=F("stock") + by))

    @classmethod
    def take(cls, products: Mapping[str, Self], quantities: Mapping[str, int]) -> None:
        """Reserve these quantities of all products, or nothing. The products come from `lock_on_sale`.

        Raises Conflict (`out_of_stock`) with the first sku whose stock is too small, and how many are left.
        """
        for sku, quantity in sorted(quantities.items()):
            left = products[sku].stock
            if left < quantity:
                message = f"Only {left} of {sku} are left." if left else f"{sku} is sold out."
                raise errors.Conflict("out_of_stock", message, sku=sku, available=left)
        cls.objects.filter(sku__in=quantities).update(stock=F("stock") - _by_sku(quantities))

    @classmethod
    def give_back(cls, quantities: Mapping[str, int]) -> None:
        """Return reserved quantities to the stock, also for products that are no longer for sale."""
        cls._lock(quantities.keys())
        cls.objects.filter(sku__in=quantities).update(stock=F("stock") + _by_sku(quantities))

    # Queries

    @classmethod
    def on_sale(cls) -> QuerySet[Self]:
        return cls.objects.filter(active=True)

    @classmethod
    def lock_on_sale(cls, skus: Collection[str]) -> dict[str, Self]:
        """The products by sku, locked until the transaction ends: price, stock and `active` stay as read until then.

        Raises Invalid (`unknown_sku`) naming the first one that does not exist or is not for sale.
        """
        products = {product.sku: product for product in cls._lock(skus) if product.active}
        for sku in sorted(set(skus) - products.keys()):
            raise errors.Invalid("unknown_sku", f"There is no product {sku!r} for sale.", sku=sku)
        return products

    @classmethod
    def lock_entry(cls, sku: str) -> Self:
        """A product, for sale or not, locked until the transaction ends. Raises NotFound (`product_not_found`)."""
        for product in cls._lock([sku]):
            return product
        raise errors.NotFound("product_not_found", f"There is no product {sku}.", sku=sku)

    @classmethod
    def _lock(cls, skus: Iterable[str]) -> list[Self]:
        """The rows, locked in the order of their skus: two orders of the same products queue up and cannot deadlock.

        SQLite has no row locks and needs none: a transaction there is the only writer from its first statement on.
        """
        return list(cls.objects.select_for_update(no_key=True).filter(sku__in=list(skus)).order_by("sku"))

    # Properties

    @property
    def price(self) -> Money:
        return Money(self.price_amount, self.price_currency)


catalogue = Capture(
    Product,
    key="sku",
    yields=ProductChanged,
    fields={
        "sku": "sku",
        "name": "name",
        "description": "description",
        "price": money(amount="price_amount", currency="price_currency"),
        "active": "active",
    },
)
"""The database publishes every change of a product's entry, made by commands, in the admin, in bulk or by hand.

The stock is left out: a stock level would be out of date on arrival.
"""


class Order(models.Model):
    """What a customer bought, at the prices of that moment."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    customer_id = models.UUIDField()
    status = models.CharField(max_length=16, choices=[(state, state) for state in STATES])
    total_amount = models.BigIntegerField()
    total_currency = models.CharField(max_length=3)
    placed_at = models.DateTimeField()
    cancelled_at = models.DateTimeField(null=True)
    checkout_id = models.UUIDField(null=True, editable=False)
    version = VersionField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["checkout_id"], name="orders_order_of_checkout_once"),
            models.CheckConstraint(condition=Q(status__in=STATES), name="orders_order_status_known"),
            models.CheckConstraint(condition=Q(total_amount__gte=0), name="orders_order_total_not_negative"),
            models.CheckConstraint(
                condition=Q(status=Status.CANCELLED.value, cancelled_at__isnull=False)
                | ~Q(status=Status.CANCELLED.value) & Q(cancelled_at__isnull=True),
                name="orders_order_cancelled_at_iff_cancelled",
            ),
        ]
        indexes = [models.Index(fields=["customer_id", "-id"], name="orders_order_of_customer")]

    def __str__(self) -> str:
        return str(self.id)

    # Factories

    @classmethod
    def place(
        cls,
        *,
        customer_id: UUID,
        lines: Sequence[PricedLine],
        total: Money,
        now: datetime,
        checkout_id: UUID | None = None,
    ) -> Self:
        """Store a placed order with these lines and total. Raises IntegrityError if its checkout has an order."""
        order = cls.objects.create(
            customer_id=customer_id,
            status=lifecycle.INITIAL,
            total_amount=total.amount,
            total_currency=total.currency,
            placed_at=now,
            checkout_id=checkout_id,
        )
        OrderLine.objects.bulk_create(
            OrderLine(
                order=order,
                product_id=line.sku,
                name=line.name,
                quantity=line.quantity,
                unit_price_amount=line.unit_price.amount,
                unit_price_currency=line.unit_price.currency,
            )
            for line in lines
        )
        return order

    # Mutators

    def cancel(self, *, now: datetime) -> None:
        """Cancel the order, whose row is locked.

        Raises Conflict (`order_not_cancellable`) with the `order_status` that prevents it.
        """
        row = type(self).objects.filter(pk=self.pk, status__in=lifecycle.sources(Status.CANCELLED))
        if not row.update(status=Status.CANCELLED, cancelled_at=now):
            message = f"An order that is {self.status} cannot be cancelled."
            raise errors.Conflict("order_not_cancellable", message, order_status=self.status)
        self.status, self.cancelled_at, self.version = Status.CANCELLED, now, self.version + 1

    # Queries

    @classmethod
    def of(cls, customer_id: UUID) -> QuerySet[Self]:
        """The customer's orders with their lines: two queries for any number of orders."""
        return cls.objects.filter(customer_id=customer_id).prefetch_related("lines")

    @staticmethod
    def placed_since(moment: datetime) -> Q:
        """The condition of orders placed at this moment or later, which also finds them by the ids of that time."""
        return Q(placed_at__gte=moment, pk__gte=_id_near(moment, -timedelta(minutes=1)))

    @staticmethod
    def placed_before(moment: datetime) -> Q:
        """The condition of orders placed before this moment, as above."""
        return Q(placed_at__lt=moment, pk__lt=_id_near(moment, timedelta(minutes=1)))

    @classmethod
    def of_checkout(cls, checkout_id: UUID) -> Self | None:
        """The order that this checkout led to, with its lines; None where there is none."""
        return cls.objects.prefetch_related("lines").filter(checkout_id=checkout_id).first()

    @classmethod
    def find(cls, order_id: UUID, *, customer_id: UUID | None = None, lock: bool = False) -> Self:
        """The order with its lines. Raises NotFound, also if `customer_id` is given and is not the order's.

        `lock` keeps other writers of the order waiting until the transaction ends.
        """
        orders = cls.objects.prefetch_related("lines") if customer_id is None else cls.of(customer_id)
        if lock:
            orders = orders.select_for_update(no_key=True)
        order = orders.filter(pk=order_id).first()
        if order is None:
            raise errors.NotFound("order_not_found", "There is no such order.")
        return order

    # Properties

    @property
    def total(self) -> Money:
        return Money(self.total_amount, self.total_currency)


class OrderLine(models.Model):
    """A part of Order: written with it and never changed."""

    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="lines")
    product = models.ForeignKey(Product, on_delete=models.PROTECT, db_column="sku", related_name="+", db_index=False)
    name = models.CharField(max_length=200)
    quantity = models.IntegerField()
    unit_price_amount = models.BigIntegerField()
    unit_price_currency = models.CharField(max_length=3)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["order", "product"], name="orders_orderline_sku_once"),
            models.CheckConstraint(condition=Q(quantity__gt=0), name="orders_orderline_quantity_positive"),
            models.CheckConstraint(condition=Q(unit_price_amount__gte=0), name="orders_orderline_price_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.quantity} x {self.sku}"

    @property
    def sku(self) -> str:
        return self.product_id

    @property
    def unit_price(self) -> Money:
        return Money(self.unit_price_amount, self.unit_price_currency)

    @property
    def priced(self) -> PricedLine:
        return PricedLine(sku=self.sku, name=self.name, quantity=self.quantity, unit_price=self.unit_price)


class Customer(models.Model):
    """What this module knows about an account of `users`. Written by the projection alone."""

    customer_id = models.UUIDField(primary_key=True)
    name = models.TextField(default="")
    active = models.BooleanField(default=True)

    def __str__(self) -> str:
        return self.name or str(self.customer_id)

    # Mutators

    @classmethod
    def remember(cls, customer_id: UUID, **known: str | bool) -> None:
        """Write these fields. The others stay unchanged; for a customer not seen before they get their defaults."""
        if not cls.objects.filter(pk=customer_id).update(**known):
            cls.objects.create(customer_id=customer_id, **known)

    # Queries

    @classmethod
    def check_may_order(cls, customer_id: UUID) -> None:
        """Raise Forbidden (`customer_deactivated`) for a customer known as deactivated; an unknown customer passes."""
        if cls.objects.filter(pk=customer_id, active=False).exists():
            raise errors.Forbidden("customer_deactivated", "This account is deactivated and cannot place orders.")


def _id_near(moment: datetime, by: timedelta) -> UUID:
    """The lowest id of a moment, moved by some time. Ids begin in 1970, and times end in 9999."""
    return uuid7_from(min(max(moment, FIRST_ID), LAST_ID) + by)


def _by_sku(quantities: Mapping[str, int]) -> Case:
    """The quantity that belongs to the row's sku."""
    return Case(*(When(sku=sku, then=Value(n)) for sku, n in quantities.items()), output_field=models.BigIntegerField())
