"""Rows whose version the database raises, on both engines."""

import io
from datetime import UTC, datetime
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connections
from django.db.models import F

from modules.orders.models import Product
from pangaea.databases import engines

ALIAS = "orders"
TABLE = "orders_product"
COLUMN = (TABLE, "version")

pytestmark = pytest.mark.django_db(databases="__all__")


@pytest.fixture(autouse=True)
def _products() -> None:
    rows = [Product(sku=sku, name=sku, price_amount=1, changed_at=datetime.now(UTC)) for sku in ("A", "B")]
    Product.objects.using(ALIAS).bulk_create(rows)


def versions() -> list[int]:
    return list(Product.objects.using(ALIAS).order_by("sku").values_list("version", flat=True))


def execute(statement: str, *values: Any) -> None:
    with connections[ALIAS].cursor() as cursor:
        cursor.execute(statement, values)


def triggers() -> set[tuple[str, str]]:
    return engines.of(ALIAS).version_triggers(connections[ALIAS])


class TestAVersion:
    def test_begins_at_one_also_for_code_that_does_not_know_it(self) -> None:
        execute(
            "INSERT INTO orders_product (sku, name, description, price_amount, price_currency, stock, active, "
            "changed_at) SELECT 'C', name, '', 1, 'EUR', 1, active, changed_at FROM orders_product WHERE sku = 'A'"
        )
        assert versions() == [1, 1, 1]

    def test_is_raised_by_every_update_of_its_row_alone(self) -> None:
        Product.objects.using(ALIAS).filter(sku="B").update(stock=F("stock") + 1)
        assert versions() == [1, 2]
        execute("UPDATE orders_product SET name = 'raw'")
        assert versions() == [2, 3]

    def test_is_raised_by_an_instance_that_was_read_earlier(self) -> None:
        stale = Product.objects.using(ALIAS).get(sku="A")
        for number in range(3):
            Product.objects.using(ALIAS).filter(sku="A").update(stock=number)
        stale.save()
        assert versions() == [5, 1]

    def test_never_sinks(self) -> None:
        execute("UPDATE orders_product SET version = 7 WHERE sku = 'A'")
        execute("UPDATE orders_product SET version = 3 WHERE sku = 'A'")
        assert versions() == [8, 1]

    def test_is_raised_in_bulk(self) -> None:
        rows = list(Product.objects.using(ALIAS).all())
        for row in rows:
            row.stock += 1
        Product.objects.using(ALIAS).bulk_update(rows, ["stock"])
        assert versions() == [2, 2]


class TestTheTrigger:
    def test_is_there_after_migrate(self) -> None:
        assert COLUMN in triggers()

    def test_is_created_again_by_migrate(self) -> None:
        engines.of(ALIAS).drop_version_trigger(connections[ALIAS], TABLE)
        assert COLUMN not in triggers()
        call_command("migrate", database=ALIAS, verbosity=0, stdout=io.StringIO())
        assert COLUMN in triggers()
        Product.objects.using(ALIAS).update(name="after")
        assert versions() == [2, 2]

    def test_is_named_by_check_where_it_is_missing(self) -> None:
        engines.of(ALIAS).drop_version_trigger(connections[ALIAS], TABLE)
        with pytest.raises(CommandError, match=r"E030(.|\n)*version of orders_product(.|\n)*manage\.py migrate"):
            call_command("check", databases=[ALIAS], stdout=io.StringIO(), stderr=io.StringIO())

    @pytest.mark.usefixtures("postgresql_only")
    def test_that_is_disabled_is_created_again(self) -> None:
        execute("ALTER TABLE orders_product DISABLE TRIGGER pangaea_version")
        call_command("migrate", database=ALIAS, verbosity=0, stdout=io.StringIO())
        Product.objects.using(ALIAS).update(name="after")
        assert versions() == [2, 2]
