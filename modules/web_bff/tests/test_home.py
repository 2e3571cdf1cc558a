from uuid import UUID

import pytest
from rest_framework.test import APIClient

from modules.web_bff.tests import received
from modules.web_bff.tests.conftest import Answering
from pangaea.testing import client_for

pytestmark = pytest.mark.django_db(databases="__all__")

HOME = "/bff/v1/home"


class TestHome:
    def test_shows_nothing_yet_before_anything_has_arrived(self, customer_id: UUID) -> None:
        response = client_for(customer_id).get(HOME)

        assert response.status_code == 200
        assert response.json() == {"me": None, "latest_orders": [], "catalogue": []}

    def test_shows_who_i_am(self) -> None:
        user_id = received.user_registered(email="ada@example.com", full_name="Ada Lovelace")

        assert client_for(user_id).get(HOME).json()["me"] == {
            "user_id": str(user_id),
            "email": "ada@example.com",
            "full_name": "Ada Lovelace",
            "active": True,
        }

    def test_shows_an_order_that_arrived_before_the_profile(self, customer_id: UUID) -> None:
        order_id = received.order_placed(
            customer_id, received.line("TEA-1", quantity=2, cents=450), received.line("CUP-1", cents=900)
        )

        home = client_for(customer_id).get(HOME).json()

        assert home["me"] is None
        assert home["latest_orders"] == [
            {
                "id": str(order_id),
                "status": "placed",
                "product_names": ["The TEA-1", "The CUP-1"],
                "item_count": 3,
                "total": {"amount": 1800, "currency": "EUR"},
                "placed_at": "2030-01-01T12:00:00Z",
            }
        ]

    def test_shows_the_five_latest_orders_the_latest_first(self, customer_id: UUID) -> None:
        orders = [received.order_placed(customer_id, minutes=minutes) for minutes in (3, 1, 6, 2, 5, 4)]

        shown = [order["id"] for order in client_for(customer_id).get(HOME).json()["latest_orders"]]

        latest_first = [orders[position] for position in (2, 4, 5, 0, 3)]
        assert shown == [str(order_id) for order_id in latest_first]

    def test_shows_nothing_of_other_customers(self, customer_id: UUID) -> None:
        other = received.user_registered()
        received.order_placed(other)

        home = client_for(customer_id).get(HOME).json()

        assert home["me"] is None
        assert home["latest_orders"] == []

    def test_shows_the_first_six_active_products_by_name(self, customer_id: UUID) -> None:
        for name in "GFEDCBA":
            received.product_changed(f"SKU-{name}", name=name)
        received.product_changed("SKU-B", name="B", active=False)

        shown = [product["name"] for product in client_for(customer_id).get(HOME).json()["catalogue"]]

        assert shown == ["A", "C", "D", "E", "F", "G"]

    @pytest.mark.parametrize("count", [1, 30])
    def test_takes_three_queries_however_much_there_is(
        self, customer_id: UUID, count: int, answered_with: Answering
    ) -> None:
        received.user_registered(customer_id)
        for number in range(count):
            received.product_changed(f"TEA-{number}")
            received.order_placed(customer_id, received.line("TEA-1"), received.line("CUP-1"), minutes=number)
        client = client_for(customer_id)

        with answered_with(3):
            response = client.get(HOME)

        assert response.status_code == 200
        assert len(response.json()["latest_orders"]) == min(count, 5)


class TestWhoMayAsk:
    @pytest.mark.parametrize("path", [HOME, "/bff/v1/orders", "/bff/v1/orders/01890000-0000-7000-8000-000000000000"])
    def test_nobody_without_a_token(self, path: str) -> None:
        response = APIClient().get(path)

        assert response.status_code == 401
        assert response["Content-Type"].startswith("application/problem+json")

    @pytest.mark.parametrize(
        ("path", "scopes"),
        [
            (HOME, ""),
            (HOME, "web_bff:checkout"),
            ("/bff/v1/orders", "web_bff:checkout"),
            ("/bff/v1/orders/01890000-0000-7000-8000-000000000000", "web_bff:checkout"),
        ],
    )
    def test_nobody_whose_token_lacks_a_scope(self, customer_id: UUID, path: str, scopes: str) -> None:
        response = client_for(customer_id, scopes=scopes.split()).get(path)

        assert response.status_code == 403
        assert response["Content-Type"].startswith("application/problem+json")

    @pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
    def test_nobody_to_change_anything(self, customer_id: UUID, method: str) -> None:
        response = getattr(client_for(customer_id), method)(HOME)

        assert response.status_code == 405
