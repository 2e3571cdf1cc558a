"""The read models, one group of tables per projection, and the checkouts, which are this module's own.

Text that other modules own is stored without a length limit: if its owner allows longer names, no message is parked
here. For the same reason the only constraints are keys.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Self
from uuid import UUID

from django.db import models

from pangaea import errors
from pangaea.ids import uuid7, uuid7_from
from pangaea.messages import Money


class ReadModel(models.Model):
    """A table that only a projection writes."""

    class Meta:
        abstract = True

    @classmethod
    def put(cls, pk: UUID | str, **values: Any) -> bool:
        """Write the row that has this primary key. True if it existed.

        Cheaper than `update_or_create`, which locks the row and opens a savepoint. Neither is needed: the consumer
        never applies two messages of one key at the same time.
        """
        if cls._default_manager.filter(pk=pk).update(**values):
            return True
        cls._default_manager.create(**{cls._meta.pk.name: pk}, **values)
        return False

    @classmethod
    def put_all(cls, rows: Sequence[Self]) -> None:
        """Insert these rows in one statement, and overwrite existing ones. No two may have the same primary key."""
        columns = [field.name for field in cls._meta.local_fields if not field.primary_key]
        cls._default_manager.bulk_create(
            rows, update_conflicts=True, unique_fields=[cls._meta.pk.name], update_fields=columns
        )


class Profile(ReadModel):
    """The customer's profile. `active` is false once the account is deactivated."""

    user_id = models.UUIDField(primary_key=True)
    email = models.TextField()
    full_name = models.TextField()
    active = models.BooleanField(default=True)

    def __str__(self) -> str:
        return self.email


class CatalogueItem(ReadModel):
    """A product's latest entry. An inactive one is not shown, but kept, because it may become active again."""

    sku = models.TextField(primary_key=True)
    name = models.TextField()
    description = models.TextField(blank=True)
    price_amount = models.BigIntegerField()
    price_currency = models.CharField(max_length=3)
    active = models.BooleanField()

    class Meta:
        verbose_name = "catalogue item"
        indexes = [
            models.Index(fields=["name", "sku"], condition=models.Q(active=True), name="web_bff_catalogue_shown"),
        ]

    def __str__(self) -> str:
        return f"{self.sku} {self.name}"

    @property
    def price(self) -> Money:
        return Money(self.price_amount, self.price_currency)


class OrderSummary(ReadModel):
    """One row of the list of orders, complete: the list reads no other table."""

    class Status(models.TextChoices):
        PLACED = "placed"
        CANCELLED = "cancelled"

    id = models.UUIDField(primary_key=True)
    customer_id = models.UUIDField()
    status = models.CharField(max_length=20, choices=Status.choices)
    # The names of the lines' products, in their order, repeated here so that a list needs no lines.
    product_names = models.JSONField()
    item_count = models.PositiveBigIntegerField()
    total_amount = models.BigIntegerField()
    total_currency = models.CharField(max_length=3)
    placed_at = models.DateTimeField()
    cancelled_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = "order"
        indexes = [
            models.Index(fields=["customer_id", "-placed_at", "-id"], name="web_bff_orders_of_customer"),
        ]

    def __str__(self) -> str:
        return f"order {self.pk}"

    # Queries

    @classmethod
    def of(cls, customer_id: UUID) -> models.QuerySet["OrderSummary"]:
        """This customer's orders, the latest first."""
        return cls.objects.filter(customer_id=customer_id).order_by("-placed_at", "-id")

    # Mutators. They do not save.

    def cancel(self, *, at: datetime) -> None:
        self.status, self.cancelled_at = self.Status.CANCELLED, at

    # Properties

    @property
    def total(self) -> Money:
        return Money(self.total_amount, self.total_currency)


class OrderLine(models.Model):
    """One line of an order's page. The ids count up in the order of the lines."""

    order = models.ForeignKey(OrderSummary, on_delete=models.CASCADE, related_name="lines")
    sku = models.TextField()
    name = models.TextField()
    quantity = models.PositiveBigIntegerField()
    unit_price_amount = models.BigIntegerField()
    unit_price_currency = models.CharField(max_length=3)

    class Meta:
        verbose_name = "line"

    def __str__(self) -> str:
        return f"{self.quantity} x {self.sku}"

    @property
    def unit_price(self) -> Money:
        return Money(self.unit_price_amount, self.unit_price_currency)


class TimelineEntry(models.Model):
    """One event of an order. The ids count up in the order of the messages."""

    class What(models.TextChoices):
        PLACED = "placed"
        CANCELLED = "cancelled"

    order = models.ForeignKey(OrderSummary, on_delete=models.CASCADE, related_name="timeline")
    what = models.CharField(max_length=20, choices=What.choices)
    at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "timeline"
        constraints = [
            models.UniqueConstraint(fields=["order", "what"], name="web_bff_timeline_once"),
        ]

    def __str__(self) -> str:
        return f"{self.what} at {self.at:%Y-%m-%d %H:%M:%S}"

    @classmethod
    def put_all(cls, entries: Sequence[Self]) -> None:
        """Insert these entries in one statement, and overwrite existing ones of the same order and kind.

        No two may have the same order and kind.
        """
        cls.objects.bulk_create(entries, update_conflicts=True, unique_fields=["order", "what"], update_fields=["at"])


class Checkout(models.Model):
    """A customer's request to order, as this module accepted it. No other module has it, so no rebuild restores it.

    Its result is in another table, CheckoutOutcome, which belongs to a projection and can be rebuilt.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    customer_id = models.UUIDField()
    asked_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"checkout {self.pk}"

    # Queries

    @classmethod
    def asked_since(cls, moment: datetime) -> "models.QuerySet[Checkout]":
        """The checkouts requested at this moment or later, found by their ids, created within the same request."""
        earlier = moment - timedelta(minutes=1)
        return cls.objects.filter(pk__gte=uuid7_from(earlier), asked_at__gte=moment)

    @classmethod
    def find(cls, checkout_id: UUID, *, customer_id: UUID) -> "Checkout":
        """This customer's checkout. Raises NotFound (`checkout_not_found`), also for another customer's."""
        found = cls.objects.filter(pk=checkout_id, customer_id=customer_id).first()
        if found is None:
            raise errors.NotFound("checkout_not_found", "There is no such checkout.")
        return found


class CheckoutOutcome(ReadModel):
    """The result of a checkout: the order that it led to, or why it was refused. Without a row it is pending."""

    checkout_id = models.UUIDField(primary_key=True)
    order_id = models.UUIDField(null=True)
    code = models.TextField(blank=True)
    detail = models.TextField(blank=True)

    def __str__(self) -> str:
        return f"checkout {self.pk}: {self.code or 'placed'}"

    @classmethod
    def refuse(cls, checkout_id: UUID, **why: str) -> None:
        """Record a refusal, unless the checkout led to an order: then it was requested twice, and the order counts.

        The order and the refusal are messages of different keys, which may be applied in either order or concurrently;
        the result is the same.
        """
        rows = cls.objects.filter(pk=checkout_id)
        if not rows.filter(order_id=None).update(**why) and not rows.exists():
            cls.objects.create(checkout_id=checkout_id, **why)
