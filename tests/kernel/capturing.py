"""A captured table with a column of every kind. A capture belongs to a module, here to orders."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from typing import Any, ClassVar, Literal
from uuid import UUID

import msgspec
from django.apps.registry import Apps
from django.db import connections, models

from pangaea.change_capture import Capture, enum, money, triggers
from pangaea.messages import Event, Money, Operation

SOURCE = "orders"


class Specimen(models.Model):
    """A model in its own registry, so that no other test loads it."""

    code = models.CharField(max_length=40, primary_key=True)
    title = models.TextField(null=True)  # noqa: DJ001 - a nullable text is one of the kinds
    count = models.BigIntegerField(null=True)
    is_open = models.BooleanField(null=True)
    token = models.UUIDField(null=True)
    weight = models.DecimalField(max_digits=12, decimal_places=3, null=True)
    seen_at = models.DateTimeField(null=True)
    born_on = models.DateField(null=True)
    extra = models.JSONField(null=True)
    price_amount = models.BigIntegerField(null=True)
    price_currency = models.CharField(max_length=3, null=True)  # noqa: DJ001 - as above
    state = models.CharField(max_length=1, default="P")
    level = models.IntegerField(default=1)
    secret = models.TextField(default="")

    objects: "models.Manager[Specimen]" = models.Manager()

    class Meta:
        app_label = SOURCE
        db_table = "orders_specimen"
        apps = Apps()


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    code: str
    title: str | None
    count: int | None
    is_open: bool | None
    token: UUID | None
    weight: Decimal | None
    seen_at: datetime | None
    born_on: date | None
    extra: Any
    price: Money | None
    state: Literal["placed", "cancelled"]
    level: str


class SpecimenChanged(Event, frozen=True, kw_only=True):
    __module__ = "modules.orders.messages"
    wire_name: ClassVar[str] = "orders.specimen_changed"
    version: ClassVar[int] = 3

    op: Operation
    before: Entry | None
    after: Entry | None


FIELDS: dict[str, Any] = {
    **{name: name for name in ("code", "title", "count", "is_open", "token", "weight", "seen_at", "born_on", "extra")},
    "price": money(amount="price_amount", currency="price_currency"),
    "state": enum("state", {"P": "placed", "C": "cancelled"}),
    "level": enum("level", {1: "low", 2: "high"}),
}

specimens = Capture(Specimen, key="code", yields=SpecimenChanged, fields=FIELDS)


@contextmanager
def captured_table(capture: Capture = specimens) -> Iterator[None]:
    """Create the model's table and its triggers beside the module's own, while the context lasts."""
    connection = connections[SOURCE]
    with connection.schema_editor() as editor:
        editor.create_model(capture.model)
    try:
        triggers.install(SOURCE, [*triggers.captures_of(SOURCE), capture])
        yield
    finally:
        triggers.install(SOURCE, triggers.captures_of(SOURCE))
        with connection.schema_editor() as editor:
            editor.delete_model(capture.model)
