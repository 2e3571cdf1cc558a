"""Constraints hold in the database, whatever the code does."""

from typing import Any
from uuid import uuid4

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from modules.orders.models import Order, OrderLine, Product
from modules.orders.tests.shop import ORDERS, customer, lines, stocked

pytestmark = pytest.mark.django_db(databases=["orders"])


@pytest.fixture(autouse=True)
def an_order() -> None:
    stocked("ABC-1")
    stocked("ABC-2")
    customer(uuid4()).post(ORDERS, lines(ABC_1=1))


class TestTheDatabase:
    @pytest.mark.parametrize(
        ("model", "change"),
        [
            (Product, {"stock": -1}),
            (Product, {"price_amount": -1}),
            (Product, {"price_amount": 10**11 + 1}),
            (Order, {"status": "lost"}),
            (Order, {"total_amount": -1}),
            (Order, {"status": "cancelled"}),
            (Order, {"cancelled_at": timezone.now()}),
            (OrderLine, {"quantity": 0}),
            (OrderLine, {"quantity": -1}),
            (OrderLine, {"unit_price_amount": -1}),
        ],
    )
    def test_refuses_what_cannot_be(self, model: Any, change: dict[str, object]) -> None:
        with pytest.raises(IntegrityError), transaction.atomic(using="orders"):
            model.objects.update(**change)

    def test_refuses_a_product_twice_in_an_order(self) -> None:
        line = OrderLine.objects.get()
        line.pk = None
        with pytest.raises(IntegrityError), transaction.atomic(using="orders"):
            line.save(force_insert=True)

    def test_refuses_to_forget_a_product_that_was_ordered(self) -> None:
        with pytest.raises(IntegrityError):
            Product.objects.get(pk="ABC-1").delete()
