from uuid import UUID, uuid4

import pytest
from django.db import transaction
from pytest_django import DjangoAssertNumQueries

from modules.orders import commands
from modules.orders.tests.shop import ORDERS, customer, everything, lines, published, stock_of, stocked
from pangaea.messages import Money

pytestmark = pytest.mark.django_db(databases=["orders"])

# One query each: the order; its lines; the change of state; the lock of the products; the stock; the message, on
# PostgreSQL after the lock of its key. A test's own transaction adds the beginning and end of a savepoint.
QUERIES = 8


def place(subject: UUID, **quantities: int) -> str:
    order_id: str = customer(subject).post(ORDERS, lines(**quantities)).json()["id"]
    return order_id


class TestCancelOrder:
    def test_answers_with_the_cancelled_order(self) -> None:
        stocked("ABC-1")
        me = uuid4()
        order_id = place(me, ABC_1=2)
        response = customer(me).post(f"{ORDERS}/{order_id}/cancel")
        assert response.status_code == 200
        order = response.json()
        assert (order["id"], order["status"]) == (order_id, "cancelled")
        assert order["cancelled_at"] > order["placed_at"]
        assert order == customer(me).get(f"{ORDERS}/{order_id}").json()

    def test_finds_it_by_its_id_in_capitals(self) -> None:
        stocked("ABC-1")
        me = uuid4()
        order_id = place(me, ABC_1=2)
        assert customer(me).post(f"{ORDERS}/{order_id.upper()}/cancel").json()["id"] == order_id

    def test_gives_the_stock_back(self) -> None:
        stocked("ABC-1", stock=10)
        stocked("ABC-2", stock=4)
        me = uuid4()
        order_id = place(me, ABC_2=4, ABC_1=3)
        customer(me).post(f"{ORDERS}/{order_id}/cancel")
        assert (stock_of("ABC-1"), stock_of("ABC-2")) == (10, 4)

    def test_gives_the_stock_back_of_what_is_not_for_sale_any_more(self) -> None:
        stocked("ABC-1", stock=10)
        me = uuid4()
        order_id = place(me, ABC_1=3)
        with transaction.atomic(using="orders"):
            commands.change_product(sku="ABC-1", name="Renamed", description="", price=Money(1, "EUR"), active=False)
        assert customer(me).post(f"{ORDERS}/{order_id}/cancel").status_code == 200
        assert stock_of("ABC-1") == 10

    def test_publishes_it(self) -> None:
        stocked("ABC-1")
        me = uuid4()
        order_id = place(me, ABC_1=1)
        order = customer(me).post(f"{ORDERS}/{order_id}/cancel").json()
        [message] = published("orders.order_cancelled")
        assert message.key == order_id
        assert message.payload == {
            "order_id": order_id,
            "customer_id": str(me),
            "cancelled_at": order["cancelled_at"],
        }

    def test_is_refused_the_second_time_and_changes_nothing(self) -> None:
        stocked("ABC-1")
        me = uuid4()
        order_id = place(me, ABC_1=1)
        customer(me).post(f"{ORDERS}/{order_id}/cancel")
        before = everything()
        response = customer(me).post(f"{ORDERS}/{order_id}/cancel")
        assert response.status_code == 409
        assert response.json()["code"] == "order_not_cancellable"
        assert response.json()["order_status"] == "cancelled"
        assert everything() == before

    def test_does_not_find_anybody_elses_and_changes_nothing(self) -> None:
        stocked("ABC-1")
        order_id = place(uuid4(), ABC_1=1)
        before = everything()
        response = customer().post(f"{ORDERS}/{order_id}/cancel")
        assert (response.status_code, response.json()["code"]) == (404, "order_not_found")
        assert everything() == before

    def test_needs_the_scope_to_write(self) -> None:
        stocked("ABC-1")
        me = uuid4()
        order_id = place(me, ABC_1=1)
        assert customer(me, "orders:read").post(f"{ORDERS}/{order_id}/cancel").status_code == 403

    def test_is_nothing_that_a_link_can_do(self) -> None:
        stocked("ABC-1")
        me = uuid4()
        order_id = place(me, ABC_1=1)
        assert customer(me).get(f"{ORDERS}/{order_id}/cancel").status_code == 405

    @pytest.mark.parametrize("count", [1, 30])
    def test_takes_the_same_number_of_queries_for_any_number_of_lines(
        self, count: int, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        quantities = {f"ABC_{number}": 1 for number in range(count)}
        for sku in quantities:
            stocked(sku.replace("_", "-"))
        me = uuid4()
        order_id = place(me, **quantities)
        client = customer(me)
        with django_assert_num_queries(QUERIES, using="orders"):
            assert client.post(f"{ORDERS}/{order_id}/cancel").status_code == 200
