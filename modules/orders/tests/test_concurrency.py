"""Concurrent customers: real threads through the views, without a deadlock, a lost update or a piece sold twice."""

from collections import Counter
from typing import Any
from uuid import uuid4

import pytest
from django.db import transaction

from modules.orders import commands
from modules.orders.models import Order, Product
from modules.orders.tests.shop import ORDERS, at_once, customer, lines, published, stock_of, stocked

pytestmark = pytest.mark.django_db(databases=["orders"], transaction=True)


@pytest.fixture
def crowd(engine: str) -> int:
    """The number of concurrent customers. SQLite admits one writer at a time, so more of them would show nothing."""
    return 100 if engine == "postgresql" else 20


class TestACrowdForTenPieces:
    def test_gets_exactly_ten_orders_and_the_rest_a_clear_refusal(self, crowd: int) -> None:
        stocked("LAST-10", stock=10)
        responses = at_once(crowd, lambda _: customer().post(ORDERS, lines(LAST_10=1)))
        assert Counter(response.status_code for response in responses) == {201: 10, 409: crowd - 10}
        for response in responses:
            if response.status_code == 409:
                assert response["Content-Type"].startswith("application/problem+json")
                problem = response.json()
                assert (problem["code"], problem["sku"], problem["available"]) == ("out_of_stock", "LAST-10", 0)
        assert stock_of("LAST-10") == 0
        accepted = {response.json()["id"] for response in responses if response.status_code == 201}
        assert {str(order_id) for order_id in Order.objects.values_list("id", flat=True)} == accepted
        assert sorted(message.key for message in published("orders.order_placed")) == sorted(accepted)


class TestOrdersOfTheSameProducts:
    def test_in_opposite_order_and_cancelled_at_once_do_not_deadlock(self) -> None:
        stocked("A-1", stock=1_000)
        stocked("B-1", stock=1_000)
        stocked("C-1", stock=1_000)
        bodies = [lines(A_1=1, B_1=1, C_1=1), lines(C_1=1, B_1=1, A_1=1), lines(B_1=1, C_1=1)]

        def shop(number: int) -> list[int]:
            client = customer(uuid4())
            codes = []
            for turn in range(5):
                response: Any = client.post(ORDERS, bodies[(number + turn) % 3])
                codes.append(response.status_code)
                if turn % 2 == 0:
                    codes.append(client.post(f"{ORDERS}/{response.json()['id']}/cancel").status_code)
            return codes

        codes = Counter(code for each in at_once(12, shop) for code in each)
        assert codes == {201: 60, 200: 36}
        ordered = Counter[str]()
        for order in Order.objects.filter(status="placed").prefetch_related("lines"):
            ordered.update({line.sku: line.quantity for line in order.lines.all()})
        assert {sku: stock_of(sku) + ordered[sku] for sku in ("A-1", "B-1", "C-1")} == dict.fromkeys(
            ("A-1", "B-1", "C-1"), 1_000
        )


class TestOneOrderCancelledByMany:
    def test_is_cancelled_once_and_gives_its_stock_back_once(self) -> None:
        stocked("ABC-1", stock=10)
        me = uuid4()
        order_id = customer(me).post(ORDERS, lines(ABC_1=4)).json()["id"]
        responses = at_once(10, lambda _: customer(me).post(f"{ORDERS}/{order_id}/cancel"))
        assert Counter(response.status_code for response in responses) == {200: 1, 409: 9}
        assert stock_of("ABC-1") == 10
        assert len(published("orders.order_cancelled")) == 1


class TestAnOperatorAtWork:
    def test_loses_no_order_that_is_placed_meanwhile(self) -> None:
        stocked("ABC-1", stock=100)

        def work(number: int) -> int:
            if number % 2:
                status: int = customer().post(ORDERS, lines(ABC_1=2)).status_code
                return status
            with transaction.atomic(using="orders"):
                product = Product.objects.get(pk="ABC-1")
                commands.change_product(
                    sku="ABC-1", name=f"Name {number}", description="", price=product.price, active=True
                )
                commands.adjust_stock(sku="ABC-1", by=1)
            return 201

        assert set(at_once(20, work)) == {201}
        assert stock_of("ABC-1") == 100 - 10 * 2 + 10
