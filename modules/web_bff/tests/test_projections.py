from typing import Any
from uuid import UUID

import pytest

from modules.web_bff.models import CatalogueItem, CheckoutOutcome, OrderLine, OrderSummary, Profile, TimelineEntry
from modules.web_bff.tests import heard
from pangaea.ids import uuid7
from pangaea.testing import client_for

pytestmark = pytest.mark.django_db(databases="__all__")


def everything() -> list[list[dict[str, Any]]]:
    """Every row of every read model, in order, without the ids that the database draws."""
    rows = [
        Profile.objects.order_by("pk"),
        CatalogueItem.objects.order_by("pk"),
        OrderSummary.objects.order_by("pk"),
        OrderLine.objects.order_by("order_id", "pk"),
        TimelineEntry.objects.order_by("order_id", "pk"),
        CheckoutOutcome.objects.order_by("pk"),
    ]
    drawn = {OrderLine, TimelineEntry}
    return [
        [{name: row[name] for name in row if not (name == "id" and query.model in drawn)} for row in query.values()]
        for query in rows
    ]


class TestProfiles:
    def me(self, user_id: UUID) -> Any:
        return client_for(user_id).get("/bff/v1/home").json()["me"]

    def test_follow_a_change(self) -> None:
        user_id = heard.user_registered()
        heard.profile_changed(user_id, email="countess@example.com", full_name="Ada Lovelace")

        assert self.me(user_id) == {
            "user_id": str(user_id),
            "email": "countess@example.com",
            "full_name": "Ada Lovelace",
            "active": True,
        }

    def test_say_that_the_account_is_deactivated(self) -> None:
        user_id = heard.user_registered()
        heard.user_deactivated(user_id)

        assert self.me(user_id)["active"] is False

    def test_stay_deactivated_through_a_change(self) -> None:
        user_id = heard.user_registered()
        heard.user_deactivated(user_id)
        heard.profile_changed(user_id, full_name="Ada Lovelace")

        assert self.me(user_id)["full_name"] == "Ada Lovelace"
        assert self.me(user_id)["active"] is False

    def test_take_a_change_as_the_first_news_of_somebody(self, customer_id: UUID) -> None:
        heard.profile_changed(customer_id, full_name="Ada Lovelace")

        assert self.me(customer_id)["full_name"] == "Ada Lovelace"

    def test_have_nothing_to_do_when_somebody_unheard_of_is_deactivated(self, customer_id: UUID) -> None:
        heard.user_deactivated(customer_id)

        assert self.me(customer_id) is None


class TestCatalogue:
    def names(self) -> list[str]:
        return [product["name"] for product in client_for(uuid7()).get("/bff/v1/home").json()["catalogue"]]

    def test_shows_a_product_as_it_is_today(self) -> None:
        heard.product_changed("TEA-1", name="Tea")
        heard.product_changed("TEA-1", name="Finest Tea", description="Leaves.", price=heard.euros(990))

        assert client_for(uuid7()).get("/bff/v1/home").json()["catalogue"] == [
            {
                "sku": "TEA-1",
                "name": "Finest Tea",
                "description": "Leaves.",
                "price": {"amount": 990, "currency": "EUR"},
            }
        ]

    def test_takes_a_product_away_and_brings_it_back(self) -> None:
        heard.product_changed("TEA-1", active=True)
        heard.product_changed("TEA-1", active=False)
        assert self.names() == []

        heard.product_changed("TEA-1", active=True)
        assert self.names() == ["The TEA-1"]

    def test_forgets_a_product_that_was_deleted(self) -> None:
        heard.product_changed("TEA-1")
        heard.product_deleted("TEA-1")
        heard.product_deleted("NEVER-1")

        assert self.names() == []
        assert everything()[1] == []

    def test_reads_what_the_stream_holds_from_the_first_version(self) -> None:
        heard.product_changed_v1("TEA-1", name="Tea")
        heard.product_changed_v1("TEA-1", name="Finest Tea", price=heard.euros(990))
        assert self.names() == ["Finest Tea"]

        heard.product_changed("TEA-1", name="Yet finer Tea")
        assert self.names() == ["Yet finer Tea"]


class TestOrders:
    def test_pass_over_the_cancellation_of_an_order_that_was_given_up(self, customer_id: UUID) -> None:
        order_id = uuid7()
        heard.order_cancelled(order_id, customer_id)

        assert client_for(customer_id).get(f"/bff/v1/orders/{order_id}").status_code == 404
        assert everything() == [[], [], [], [], [], []]

    def test_skip_fields_that_this_module_does_not_know(self, customer_id: UUID) -> None:
        line = heard.line("TEA-1") | {"gift_wrap": {"colour": "red"}}
        order_id = heard.order_placed(customer_id, line, loyalty_points=12)

        order = client_for(customer_id).get(f"/bff/v1/orders/{order_id}").json()

        assert [each["sku"] for each in order["lines"]] == ["TEA-1"]
        assert "gift_wrap" not in order["lines"][0]

    def test_bear_longer_names_than_anybody_has_today(self, customer_id: UUID) -> None:
        order_id = heard.order_placed(customer_id, heard.line("TEA-1", name="é" * 10_000))

        order = client_for(customer_id).get(f"/bff/v1/orders/{order_id}").json()

        assert order["lines"][0]["name"] == "é" * 10_000

    @pytest.mark.parametrize(
        "garbage",
        [
            {"total": None},
            {"total": {"amount": "many", "currency": "EUR"}},
            {"total": {"amount": 10**30, "currency": "EUR"}},
            {"lines": [{"sku": "TEA-1"}]},
            {"customer_id": "nobody"},
            {"placed_at": "yesterday"},
        ],
    )
    def test_show_nothing_of_an_order_that_cannot_be_read_and_go_on_with_the_others(
        self, customer_id: UUID, garbage: dict[str, Any]
    ) -> None:
        unreadable = heard.order_placed(customer_id, may_park=True, **garbage)
        heard.order_cancelled(unreadable, customer_id, may_park=True)
        readable = heard.order_placed(customer_id)

        orders = client_for(customer_id).get("/bff/v1/orders").json()["results"]

        assert [(order["id"], order["status"]) for order in orders] == [(str(readable), "placed")]


class TestReplay:
    def story(self, user_id: UUID, order_ids: list[UUID]) -> None:
        heard.user_registered(user_id)
        heard.profile_changed(user_id, full_name="Ada Lovelace")
        heard.product_changed("TEA-1")
        heard.product_changed("TEA-1", name="Finest Tea")
        for number, order_id in enumerate(order_ids):
            heard.order_placed(
                user_id,
                heard.line("TEA-1"),
                heard.line("CUP-1"),
                order_id=order_id,
                minutes=number,
                checkout_id=str(order_id),
            )
        heard.order_refused(user_id, user_id)
        heard.order_cancelled(order_ids[0], user_id)
        heard.user_deactivated(user_id)

    def test_onto_rows_that_are_there_leaves_the_same_rows(self, customer_id: UUID) -> None:
        order_ids = [uuid7(), uuid7()]
        self.story(customer_id, order_ids)
        once = everything()

        self.story(customer_id, order_ids)

        assert everything() == once
        assert [len(rows) for rows in once] == [1, 1, 2, 4, 3, 3]

    def test_from_the_middle_of_a_stream_leaves_the_same_rows(self, customer_id: UUID) -> None:
        order_id = heard.order_placed(customer_id)
        heard.order_cancelled(order_id, customer_id)
        once = everything()

        heard.order_cancelled(order_id, customer_id)

        assert everything() == once
