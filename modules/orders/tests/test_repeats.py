"""Orders that are sent again: with an Idempotency-Key, one order and one answer."""

from collections import Counter
from typing import Any
from uuid import uuid4

import pytest
from django.db import transaction
from pytest_django import DjangoAssertNumQueries

from modules.orders import commands
from modules.orders.models import Customer, Order
from modules.orders.tests.shop import ORDERS, at_once, customer, everything, keyed, lines, published, stock_of, stocked
from modules.orders.tests.test_place_order import QUERIES
from pangaea import testing

pytestmark = pytest.mark.django_db(databases=["orders"])

V2 = "/api/v2/orders"
KEY = keyed("8e03978e-40d5-43dd-bc93-6894a57f9324")
CANCEL = keyed("8e03978e-40d5-43dd-bc93-6894a57f9324", if_match="*")
# Beside those of the order: the lock of the key with what is recorded of it, one round trip; and the record.
QUERIES_OF_A_KEY = 2
# The savepoint of a test's own transaction, the lock with the record, the count of replays.
QUERIES_OF_A_REPEAT = 4


@pytest.fixture(params=[ORDERS, V2])
def orders(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class TestAnOrder:
    def test_that_is_sent_again_is_placed_once(self, orders: str) -> None:
        stocked("ABC-1", stock=10)
        client = customer()
        first, repeat = (client.post(orders, lines(ABC_1=3), **KEY) for _ in range(2))

        assert (first.status_code, repeat.status_code) == (201, 201)
        assert repeat.content == first.content
        assert [each["Location"] for each in (first, repeat)] == [f"{orders}/{first.json()['id']}"] * 2
        assert repeat["Idempotent-Replayed"] == "true"
        assert stock_of("ABC-1") == 7
        assert (Order.objects.count(), len(published("orders.order_placed"))) == (1, 1)

    def test_that_was_refused_is_placed_once_it_can_be(self, orders: str) -> None:
        stocked("ABC-1", stock=1)
        client, before = customer(), everything()
        assert client.post(orders, lines(ABC_1=2), **KEY).json()["code"] == "out_of_stock"
        assert everything() == before

        with transaction.atomic(using="orders"):
            commands.adjust_stock(sku="ABC-1", by=1)
        assert client.post(orders, lines(ABC_1=2), **KEY).status_code == 201
        assert stock_of("ABC-1") == 0

    def test_of_another_content_is_refused(self, orders: str) -> None:
        stocked("ABC-1", stock=10)
        client = customer()
        client.post(orders, lines(ABC_1=1), **KEY)
        before = everything()
        response = client.post(orders, lines(ABC_1=2), **KEY)

        assert (response.status_code, response.json()["code"]) == (422, "idempotency_key_reused")
        assert everything() == before

    def test_of_another_customer_with_the_same_key_is_another_order(self, orders: str) -> None:
        stocked("ABC-1", stock=10)
        placed = [customer().post(orders, lines(ABC_1=1), **KEY).json()["id"] for _ in range(2)]
        assert len(set(placed)) == 2

    def test_needs_a_key_in_version_2(self) -> None:
        stocked("ABC-1")
        response = customer().post(V2, lines(ABC_1=1))
        assert (response.status_code, response.json()["code"]) == (400, "idempotency_key_missing")
        assert customer().post(ORDERS, lines(ABC_1=1)).status_code == 201

    def test_is_placed_once_per_version(self) -> None:
        stocked("ABC-1")
        client = customer()
        assert {client.post(each, lines(ABC_1=1), **KEY).status_code for each in (ORDERS, V2)} == {201}
        assert Order.objects.count() == 2

    def test_can_be_asked_for_again_by_a_customer_who_is_deactivated_since(self) -> None:
        stocked("ABC-1")
        client = customer(me := uuid4())
        first = client.post(ORDERS, lines(ABC_1=1), **KEY)
        Customer.remember(me, active=False)

        assert client.post(ORDERS, lines(ABC_1=1), **KEY).content == first.content
        assert client.post(ORDERS, lines(ABC_1=1), **keyed()).json()["code"] == "customer_deactivated"

    def test_costs_two_queries_more_with_a_key(self, django_assert_num_queries: DjangoAssertNumQueries) -> None:
        stocked("ABC-1")
        client = customer()
        with django_assert_num_queries(QUERIES + QUERIES_OF_A_KEY, using="orders"):
            client.post(ORDERS, lines(ABC_1=1), **KEY)
        with django_assert_num_queries(QUERIES_OF_A_REPEAT, using="orders"):
            client.post(ORDERS, lines(ABC_1=1), **KEY)


class TestACancellation:
    def test_that_is_sent_again_gets_the_answer_again(self, orders: str) -> None:
        stocked("ABC-1", stock=10)
        client = customer()
        order = client.post(orders, lines(ABC_1=3), **keyed()).json()["id"]
        first, repeat = (client.post(f"{orders}/{order}/cancel", **CANCEL) for _ in range(2))

        assert (first.status_code, repeat.status_code) == (200, 200)
        assert repeat.content == first.content
        assert repeat["Idempotent-Replayed"] == "true"
        assert stock_of("ABC-1") == 10
        assert len(published("orders.order_cancelled")) == 1

    def test_of_another_order_with_the_same_key_is_refused(self, orders: str) -> None:
        stocked("ABC-1", stock=10)
        client = customer()
        first, second = (client.post(orders, lines(ABC_1=1), **keyed()).json()["id"] for _ in range(2))
        client.post(f"{orders}/{first}/cancel", **CANCEL)
        response = client.post(f"{orders}/{second}/cancel", **CANCEL)

        assert (response.status_code, response.json()["code"]) == (422, "idempotency_key_reused")
        assert Order.objects.get(pk=second).status == "placed"


class TestALateRepeat:
    def test_of_an_order_gets_the_order_in_its_present_state(self, orders: str) -> None:
        stocked("ABC-1", stock=10)
        client = customer()
        first = client.post(orders, lines(ABC_1=3), **KEY)
        client.post(f"{first['Location']}/cancel", **keyed(if_match="*"))
        testing.expire_answers("orders")
        repeat = client.post(orders, lines(ABC_1=3), **KEY)

        assert (repeat.status_code, repeat["Location"]) == (200, first["Location"])
        assert repeat["Idempotent-Replayed"] == "true"
        assert repeat.json() == client.get(first["Location"]).json()
        assert repeat.json()["status"] == "cancelled"
        assert Order.objects.count() == 1

    def test_of_a_cancellation_gets_the_order(self, orders: str) -> None:
        stocked("ABC-1", stock=10)
        client = customer()
        address = client.post(orders, lines(ABC_1=3), **keyed())["Location"]
        client.post(f"{address}/cancel", **CANCEL)
        testing.expire_answers("orders")
        repeat = client.post(f"{address}/cancel", **CANCEL)

        assert (repeat.status_code, repeat["Idempotent-Replayed"]) == (200, "true")
        assert repeat.json() == client.get(address).json()

    def test_of_an_order_that_is_deleted_is_not_placed_again(self, orders: str) -> None:
        stocked("ABC-1", stock=10)
        client = customer()
        client.post(orders, lines(ABC_1=3), **KEY)
        testing.expire_answers("orders")
        for order in Order.objects.all():
            order.lines.all().delete()
            order.delete()
        repeat = client.post(orders, lines(ABC_1=3), **KEY)

        assert (repeat.status_code, repeat.json()["code"]) == (404, "order_not_found")
        assert repeat["Idempotent-Replayed"] == "true"
        assert Order.objects.count() == 0


@pytest.mark.django_db(databases=["orders"], transaction=True)
class TestFiftyAtOnce:
    def test_with_one_key_place_one_order(self) -> None:
        stocked("ABC-1", stock=100)
        me = uuid4()
        responses: list[Any] = at_once(50, lambda _: customer(me).post(ORDERS, lines(ABC_1=2), **KEY))

        counted = Counter(response.status_code for response in responses)
        assert counted.keys() <= {201, 409}
        assert len({response.content for response in responses if response.status_code == 201}) == 1
        assert [r["Idempotent-Replayed"] for r in responses if "Idempotent-Replayed" in r.headers] == ["true"] * (
            counted[201] - 1
        )
        refused = [response for response in responses if response.status_code == 409]
        assert {response.json()["code"] for response in refused} <= {"idempotency_key_in_use"}
        assert all(int(response["Retry-After"]) >= 1 for response in refused)
        assert (Order.objects.count(), len(published("orders.order_placed"))) == (1, 1)
        assert stock_of("ABC-1") == 98
