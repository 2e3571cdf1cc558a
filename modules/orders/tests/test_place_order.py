from uuid import UUID, uuid4

import pytest
from django.db import transaction
from pytest_django import DjangoAssertNumQueries

from modules.orders import commands
from modules.orders.tests.shop import ORDERS, customer, lines, published, stock_of, stocked
from pangaea.errors import Invalid, Misuse
from pangaea.messages import Money

pytestmark = pytest.mark.django_db(databases=["orders"])

# One query each: the customer; the lock of the products; the stock; the order; its lines; the message, on PostgreSQL
# after the lock of its key. A test's own transaction adds the beginning and end of a savepoint.
QUERIES = 8


class TestPlaceOrder:
    def test_answers_with_the_order_and_where_it_is(self) -> None:
        stocked("ABC-1", amount=250, name="Compass")
        stocked("ABC-2", amount=1_000, name="Globe")
        response = customer().post(ORDERS, lines(ABC_2=1, ABC_1=3))
        assert response.status_code == 201
        order = response.json()
        assert response["Location"] == f"{ORDERS}/{order['id']}"
        assert order["status"] == "placed"
        assert order["cancelled_at"] is None
        assert order["total"] == {"amount": 1_750, "currency": "EUR"}
        assert order["lines"] == [
            {"sku": "ABC-2", "name": "Globe", "quantity": 1, "unit_price": {"amount": 1_000, "currency": "EUR"}},
            {"sku": "ABC-1", "name": "Compass", "quantity": 3, "unit_price": {"amount": 250, "currency": "EUR"}},
        ]

    def test_takes_a_whole_number_in_any_spelling(self) -> None:
        stocked("ABC-1", stock=10)
        order = customer().post(ORDERS, lines(ABC_1=3.0)).json()
        assert [type(line["quantity"]) for line in order["lines"]] == [int]
        assert stock_of("ABC-1") == 7

    def test_reserves_the_stock(self) -> None:
        stocked("ABC-1", stock=10)
        stocked("ABC-2", stock=5)
        customer().post(ORDERS, lines(ABC_1=3, ABC_2=5))
        assert (stock_of("ABC-1"), stock_of("ABC-2")) == (7, 0)

    def test_publishes_what_it_answered(self) -> None:
        stocked("ABC-1", amount=250)
        subject = uuid4()
        order = customer(subject).post(ORDERS, lines(ABC_1=2)).json()
        [message] = published("orders.order_placed")
        assert message.key == order["id"]
        assert message.payload == {
            "order_id": order["id"],
            "customer_id": str(subject),
            "lines": order["lines"],
            "total": order["total"],
            "placed_at": order["placed_at"],
            "checkout_id": None,
        }

    def test_keeps_the_price_of_the_moment(self) -> None:
        stocked("ABC-1", amount=250)
        client = customer()
        order = client.post(ORDERS, lines(ABC_1=2)).json()
        with transaction.atomic(using="orders"):
            commands.change_product(sku="ABC-1", name="Renamed", description="", price=Money(999, "EUR"), active=False)
        assert client.get(f"{ORDERS}/{order['id']}").json() == order

    def test_needs_the_scope_to_write(self) -> None:
        stocked("ABC-1")
        response = customer(None, "orders:read").post(ORDERS, lines(ABC_1=1))
        assert response.status_code == 403
        assert response.json()["code"] == "insufficient_scope"

    @pytest.mark.parametrize("count", [1, 50])
    def test_takes_the_same_number_of_queries_for_any_number_of_lines(
        self, count: int, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        skus = [f"ABC-{number}" for number in range(count)]
        for sku in skus:
            stocked(sku)
        client = customer()
        body = {"lines": [{"sku": sku, "quantity": 1} for sku in skus]}
        with django_assert_num_queries(QUERIES, using="orders"):
            assert client.post(ORDERS, body).status_code == 201


class TestPlaceOrderAsACommand:
    @pytest.mark.parametrize("quantities", [{}, {"ABC-1": 0}, {"ABC-1": -1}, {"ABC-1": 1_001}])
    def test_refuses_what_the_api_refuses(self, quantities: dict[str, int]) -> None:
        stocked("ABC-1", stock=5_000)
        with pytest.raises(Invalid, match="invalid_order"), transaction.atomic(using="orders"):
            commands.place_order(customer_id=uuid4(), quantities=quantities)

    def test_needs_the_transaction_of_its_caller(self) -> None:
        stocked("ABC-1")
        with pytest.raises(Misuse):
            commands.place_order(customer_id=uuid4(), quantities={"ABC-1": 1})


class TestIdsOfOrders:
    def test_sort_by_the_time_of_the_order(self) -> None:
        stocked("ABC-1")
        placed = [UUID(customer().post(ORDERS, lines(ABC_1=1)).json()["id"]) for _ in range(5)]
        assert placed == sorted(placed)
