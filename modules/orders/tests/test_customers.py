from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from modules.orders.models import Customer
from modules.orders.tests.shop import ORDERS, customer, everything, lines, stocked
from pangaea import testing

pytestmark = pytest.mark.django_db(databases=["orders"])

NOW = datetime(2026, 1, 1, tzinfo=UTC).isoformat()


def hear(what: str, user_id: UUID, **fields: Any) -> None:
    """An event of users, as that module publishes it."""
    testing.deliver(f"users.{what}", {"user_id": str(user_id), **fields}, key=str(user_id), to="orders")


def registered(user_id: UUID, name: str = "Ada Lovelace") -> None:
    hear("user_registered", user_id, email="ada@example.org", full_name=name, registered_at=NOW)


class TestCustomers:
    def test_are_remembered_by_name_and_without_their_address(self) -> None:
        ada = uuid4()
        registered(ada)
        assert list(Customer.objects.values()) == [{"customer_id": ada, "name": "Ada Lovelace", "active": True}]

    def test_follow_their_profile(self) -> None:
        ada = uuid4()
        registered(ada)
        hear("profile_changed", ada, email="ada@example.org", full_name="Ada King", changed_at=NOW)
        assert Customer.objects.get(pk=ada).name == "Ada King"

    def test_who_are_deactivated_cannot_order_and_nothing_changes(self) -> None:
        stocked("ABC-1")
        ada = uuid4()
        registered(ada)
        assert customer(ada).post(ORDERS, lines(ABC_1=1)).status_code == 201
        hear("user_deactivated", ada, deactivated_at=NOW)
        before = everything()
        response = customer(ada).post(ORDERS, lines(ABC_1=1))
        assert (response.status_code, response.json()["code"]) == (403, "customer_deactivated")
        assert everything() == before

    def test_who_are_deactivated_can_still_read_and_cancel(self) -> None:
        stocked("ABC-1")
        ada = uuid4()
        order_id = customer(ada).post(ORDERS, lines(ABC_1=1)).json()["id"]
        hear("user_deactivated", ada, deactivated_at=NOW)
        assert customer(ada).get(f"{ORDERS}/{order_id}").status_code == 200
        assert customer(ada).post(f"{ORDERS}/{order_id}/cancel").status_code == 200

    def test_of_whom_nothing_is_known_may_order(self) -> None:
        stocked("ABC-1")
        assert customer(uuid4()).post(ORDERS, lines(ABC_1=1)).status_code == 201

    def test_stay_deactivated_while_the_history_is_applied_again(self) -> None:
        ada = uuid4()
        registered(ada)
        hear("user_deactivated", ada, deactivated_at=NOW)
        registered(ada)
        assert not Customer.objects.get(pk=ada).active

    def test_whose_deactivation_is_all_that_is_known_cannot_order(self) -> None:
        stocked("ABC-1")
        ada = uuid4()
        hear("user_deactivated", ada, deactivated_at=NOW)
        assert customer(ada).post(ORDERS, lines(ABC_1=1)).status_code == 403
