import random
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import transaction

from modules.web_bff import acl, handlers
from modules.web_bff.models import CatalogueItem, CheckoutOutcome, OrderLine, OrderSummary, Profile, TimelineEntry
from modules.web_bff.tests import received
from modules.web_bff.tests.conftest import Answering
from pangaea.ids import uuid7
from pangaea.messages import Money, Received
from pangaea.testing import client_for

pytestmark = pytest.mark.django_db(databases="__all__")


def everything() -> list[list[dict[str, Any]]]:
    """Every row of every read model, in order, without the ids that the database generates."""
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
        user_id = received.user_registered()
        received.profile_changed(user_id, email="countess@example.com", full_name="Ada Lovelace")

        assert self.me(user_id) == {
            "user_id": str(user_id),
            "email": "countess@example.com",
            "full_name": "Ada Lovelace",
            "active": True,
        }

    def test_say_that_the_account_is_deactivated(self) -> None:
        user_id = received.user_registered()
        received.user_deactivated(user_id)

        assert self.me(user_id)["active"] is False

    def test_stay_deactivated_through_a_change(self) -> None:
        user_id = received.user_registered()
        received.user_deactivated(user_id)
        received.profile_changed(user_id, full_name="Ada Lovelace")

        assert self.me(user_id)["full_name"] == "Ada Lovelace"
        assert self.me(user_id)["active"] is False

    def test_take_a_change_as_the_first_news_of_an_account(self, customer_id: UUID) -> None:
        received.profile_changed(customer_id, full_name="Ada Lovelace")

        assert self.me(customer_id)["full_name"] == "Ada Lovelace"

    def test_have_nothing_to_do_when_an_unknown_account_is_deactivated(self, customer_id: UUID) -> None:
        received.user_deactivated(customer_id)

        assert self.me(customer_id) is None


class TestCatalogue:
    def names(self) -> list[str]:
        return [product["name"] for product in client_for(uuid7()).get("/bff/v1/home").json()["catalogue"]]

    def test_shows_a_product_as_it_is_today(self) -> None:
        received.product_changed("TEA-1", name="Tea")
        received.product_changed("TEA-1", name="Finest Tea", description="Leaves.", price=received.euros(990))

        assert client_for(uuid7()).get("/bff/v1/home").json()["catalogue"] == [
            {
                "sku": "TEA-1",
                "name": "Finest Tea",
                "description": "Leaves.",
                "price": {"amount": 990, "currency": "EUR"},
            }
        ]

    def test_takes_a_product_away_and_brings_it_back(self) -> None:
        received.product_changed("TEA-1", active=True)
        received.product_changed("TEA-1", active=False)
        assert self.names() == []

        received.product_changed("TEA-1", active=True)
        assert self.names() == ["The TEA-1"]

    def test_forgets_a_product_that_was_deleted(self) -> None:
        received.product_changed("TEA-1")
        received.product_deleted("TEA-1")
        received.product_deleted("NEVER-1")

        assert self.names() == []
        assert everything()[1] == []

    def test_reads_what_the_stream_holds_from_the_first_version(self) -> None:
        received.product_changed_v1("TEA-1", name="Tea")
        received.product_changed_v1("TEA-1", name="Finest Tea", price=received.euros(990))
        assert self.names() == ["Finest Tea"]

        received.product_changed("TEA-1", name="Yet finer Tea")
        assert self.names() == ["Yet finer Tea"]


class TestOrders:
    def test_pass_over_the_cancellation_of_an_order_that_was_given_up(self, customer_id: UUID) -> None:
        order_id = uuid7()
        received.order_cancelled(order_id, customer_id)

        assert client_for(customer_id).get(f"/bff/v1/orders/{order_id}").status_code == 404
        assert everything() == [[], [], [], [], [], []]

    def test_skip_fields_that_this_module_does_not_know(self, customer_id: UUID) -> None:
        line = received.line("TEA-1") | {"gift_wrap": {"colour": "red"}}
        order_id = received.order_placed(customer_id, line, loyalty_points=12)

        order = client_for(customer_id).get(f"/bff/v1/orders/{order_id}").json()

        assert [each["sku"] for each in order["lines"]] == ["TEA-1"]
        assert "gift_wrap" not in order["lines"][0]

    def test_take_longer_names_than_any_today(self, customer_id: UUID) -> None:
        order_id = received.order_placed(customer_id, received.line("TEA-1", name="é" * 10_000))

        order = client_for(customer_id).get(f"/bff/v1/orders/{order_id}").json()

        assert order["lines"][0]["name"] == "é" * 10_000

    @pytest.mark.parametrize(
        "garbage",
        [
            {"total": None},
            {"total": {"amount": "many", "currency": "EUR"}},
            {"total": {"amount": 10**30, "currency": "EUR"}},
            {"lines": [{"sku": "TEA-1"}]},
            {"customer_id": "no-uuid"},
            {"placed_at": "yesterday"},
        ],
    )
    def test_show_nothing_of_an_order_that_cannot_be_read_and_go_on_with_the_others(
        self, customer_id: UUID, garbage: dict[str, Any]
    ) -> None:
        unreadable = received.order_placed(customer_id, may_park=True, **garbage)
        received.order_cancelled(unreadable, customer_id, may_park=True)
        readable = received.order_placed(customer_id)

        orders = client_for(customer_id).get("/bff/v1/orders").json()["results"]

        assert [(order["id"], order["status"]) for order in orders] == [(str(readable), "placed")]


class TestABatchOfOrders:
    """The messages of one batch, applied together. The other tests deliver each message alone."""

    def placed(self, order_id: UUID, customer_id: UUID, *skus: str, minutes: int = 0) -> acl.OrderPlaced:
        price = Money(500, "EUR")
        lines = [acl.LinePlaced(sku=sku, name=sku.title(), quantity=2, unit_price=price) for sku in skus]
        total = Money(1_000 * len(lines), "EUR")
        placed_at = received.NOON + timedelta(minutes=minutes)
        return acl.OrderPlaced(
            order_id=order_id, customer_id=customer_id, lines=lines, total=total, placed_at=placed_at
        )

    def cancelled(self, order_id: UUID, *, minutes: int = 5) -> acl.OrderCancelled:
        return acl.OrderCancelled(order_id=order_id, cancelled_at=received.NOON + timedelta(minutes=minutes))

    def apply(self, *events: acl.OrderEvent) -> None:
        with transaction.atomic(using="web_bff"):
            handlers.show_orders(
                [
                    Received(
                        payload=event,
                        id=uuid7(),
                        key=str(event.order_id),
                        occurred_at=received.NOON,
                        source="orders",
                        position=position,
                        correlation_id="test",
                    )
                    for position, event in enumerate(events, 1)
                ]
            )

    def test_leaves_the_rows_that_one_message_at_a_time_leaves(self, customer_id: UUID) -> None:
        first, second, third = sorted(uuid7() for _ in range(3))
        events = (
            self.placed(first, customer_id, "TEA-1", "CUP-1"),
            self.placed(second, customer_id, "TEA-1", minutes=1),
            self.cancelled(first),
            self.placed(third, customer_id, "POT-1", "TEA-1", minutes=2),
            self.cancelled(third, minutes=6),
        )
        for event in events:
            self.apply(event)
        one_by_one = everything()
        OrderSummary.objects.all().delete()

        self.apply(*events)

        assert everything() == one_by_one
        assert [len(rows) for rows in one_by_one] == [0, 0, 3, 5, 5, 0]

    @pytest.mark.parametrize("seed", range(10))
    def test_in_any_order_and_any_parts_leaves_the_rows_that_one_message_at_a_time_leaves(
        self, seed: int, customer_id: UUID
    ) -> None:
        draw = random.Random(seed)
        order_ids = sorted(uuid7() for _ in range(3))
        events: list[acl.OrderEvent] = []
        for minutes in range(15):
            order_id, skus = draw.choice(order_ids), draw.sample(["TEA-1", "CUP-1", "POT-1"], draw.randint(1, 3))
            placed = self.placed(order_id, customer_id, *skus, minutes=minutes)
            events.append(draw.choice([placed, self.cancelled(order_id, minutes=minutes)]))
        for event in events:
            self.apply(event)
        one_by_one = everything()
        OrderSummary.objects.all().delete()

        rest = events
        while rest:
            size = draw.randint(1, len(rest))
            self.apply(*rest[:size])
            rest = rest[size:]

        assert everything() == one_by_one

    def test_applied_twice_leaves_the_same_rows(self, customer_id: UUID) -> None:
        events = (
            self.placed(order_id := uuid7(), customer_id, "TEA-1", "CUP-1"),
            self.cancelled(order_id),
            self.placed(uuid7(), customer_id, "POT-1"),
        )
        self.apply(*events)
        once = everything()

        self.apply(*events)

        assert everything() == once

    def test_that_repeats_an_order_shows_its_last_state(self, customer_id: UUID) -> None:
        order_id = uuid7()
        self.apply(
            self.placed(order_id, customer_id, "TEA-1"),
            self.cancelled(order_id, minutes=5),
            self.placed(order_id, customer_id, "POT-1", "CUP-1", minutes=1),
            self.cancelled(order_id, minutes=7),
            self.cancelled(order_id, minutes=9),
        )

        order = client_for(customer_id).get(f"/bff/v1/orders/{order_id}").json()
        assert (order["status"], order["placed_at"], order["cancelled_at"]) == (
            "cancelled",
            "2030-01-01T12:01:00Z",
            "2030-01-01T12:09:00Z",
        )
        assert [line["sku"] for line in order["lines"]] == ["POT-1", "CUP-1"]
        assert [(entry["what"], entry["at"]) for entry in order["timeline"]] == [
            ("placed", "2030-01-01T12:01:00Z"),
            ("cancelled", "2030-01-01T12:09:00Z"),
        ]

    def test_that_ends_with_an_order_placed_again_shows_it_as_placed(self, customer_id: UUID) -> None:
        placed = self.placed(order_id := uuid7(), customer_id, "TEA-1")
        self.apply(placed, self.cancelled(order_id), placed)

        order = client_for(customer_id).get(f"/bff/v1/orders/{order_id}").json()
        assert (order["status"], order["cancelled_at"]) == ("placed", None)
        assert [entry["what"] for entry in order["timeline"]] == ["placed"]

    def test_cancels_orders_of_earlier_batches_and_of_none(self, customer_id: UUID) -> None:
        earlier, unknown = uuid7(), uuid7()
        self.apply(self.placed(earlier, customer_id, "TEA-1"))

        self.apply(self.cancelled(unknown), self.cancelled(earlier))

        orders = client_for(customer_id).get("/bff/v1/orders").json()["results"]
        assert [(order["id"], order["status"]) for order in orders] == [(str(earlier), "cancelled")]
        assert [len(rows) for rows in everything()] == [0, 0, 1, 1, 2, 0]

    @pytest.mark.parametrize("count", [1, 40])
    def test_takes_the_same_number_of_queries_for_any_number_of_orders(
        self, count: int, customer_id: UUID, answered_with: Answering
    ) -> None:
        order_ids = [uuid7() for _ in range(count)]
        events = [self.placed(order_id, customer_id, "TEA-1", "CUP-1") for order_id in order_ids]
        cancelled = [self.cancelled(order_id) for order_id in order_ids]
        savepoint = 2  # the test's own

        # One query reads the stored orders; three write the orders, their lines and their timelines.
        with answered_with(4 + savepoint):
            self.apply(*events)
        # A cancellation writes no lines.
        with answered_with(3 + savepoint):
            self.apply(*cancelled)
        # Applied again, the old lines and timelines are deleted first.
        with answered_with(6 + savepoint):
            self.apply(*events, *cancelled)


class TestReplay:
    def story(self, user_id: UUID, order_ids: list[UUID]) -> None:
        received.user_registered(user_id)
        received.profile_changed(user_id, full_name="Ada Lovelace")
        received.product_changed("TEA-1")
        received.product_changed("TEA-1", name="Finest Tea")
        for number, order_id in enumerate(order_ids):
            received.order_placed(
                user_id,
                received.line("TEA-1"),
                received.line("CUP-1"),
                order_id=order_id,
                minutes=number,
                checkout_id=str(order_id),
            )
        received.order_refused(user_id, user_id)
        received.order_cancelled(order_ids[0], user_id)
        received.user_deactivated(user_id)

    def test_onto_rows_that_are_there_leaves_the_same_rows(self, customer_id: UUID) -> None:
        order_ids = [uuid7(), uuid7()]
        self.story(customer_id, order_ids)
        once = everything()

        self.story(customer_id, order_ids)

        assert everything() == once
        assert [len(rows) for rows in once] == [1, 1, 2, 4, 3, 3]

    def test_from_the_middle_of_a_stream_leaves_the_same_rows(self, customer_id: UUID) -> None:
        order_id = received.order_placed(customer_id)
        received.order_cancelled(order_id, customer_id)
        once = everything()

        received.order_cancelled(order_id, customer_id)

        assert everything() == once
