"""The command `orders.place_order`: a checkout becomes an order or a refusal, and never a dead letter."""

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import IntegrityError, transaction

from modules.orders import commands
from modules.orders.models import Customer, Order
from modules.orders.tests.shop import ORDERS, customer, everything, lines, published, stock_of, stocked
from pangaea import testing

pytestmark = pytest.mark.django_db(databases=["orders"])

PLACED, REFUSED = "orders.order_placed", "orders.order_refused"


def check_out(
    *wanted: tuple[Any, Any],
    customer_id: UUID | None = None,
    checkout_id: UUID | None = None,
    sender: str = "web_bff",
    may_park: bool = False,
    **changes: Any,
) -> UUID:
    """Deliver the command as the worker does, and return the checkout's id."""
    checkout_id = checkout_id or uuid4()
    payload = {
        "checkout_id": str(checkout_id),
        "customer_id": str(customer_id or uuid4()),
        "lines": [{"sku": sku, "quantity": quantity} for sku, quantity in wanted],
    }
    testing.deliver(
        "orders.place_order", payload | changes, key=str(checkout_id), to="orders", sender=sender, may_park=may_park
    )
    return checkout_id


class TestACheckout:
    def test_becomes_an_order_like_one_over_http(self) -> None:
        stocked("ABC-1", amount=250)
        stocked("ABC-2", amount=1_000)
        subject = uuid4()

        checkout_id = check_out(("ABC-2", 1), ("ABC-1", 3), customer_id=subject)

        [order] = customer(subject).get(ORDERS).json()["results"]
        assert [(line["sku"], line["quantity"]) for line in order["lines"]] == [("ABC-2", 1), ("ABC-1", 3)]
        assert (stock_of("ABC-1"), stock_of("ABC-2")) == (7, 9)
        [message] = published(PLACED)
        assert message.key == order["id"]
        assert message.payload == {
            "order_id": order["id"],
            "customer_id": str(subject),
            "lines": order["lines"],
            "total": order["total"],
            "placed_at": order["placed_at"],
            "checkout_id": str(checkout_id),
        }
        assert published(REFUSED) == []

    def test_may_come_before_anything_is_known_of_its_customer(self) -> None:
        stocked("ABC-1")
        check_out(("ABC-1", 1))
        assert len(published(PLACED)) == 1

    def test_leads_to_one_order_however_often_it_is_asked_for(self) -> None:
        stocked("ABC-1", stock=10)
        subject = uuid4()
        checkout_id = check_out(("ABC-1", 3), customer_id=subject)
        before = everything()

        for wanted in [("ABC-1", 3), ("ABC-1", 99), ("NO-SUCH", 1)]:
            check_out(wanted, customer_id=subject, checkout_id=checkout_id)

        assert everything() == before

    def test_leads_to_one_order_also_after_that_was_cancelled(self) -> None:
        stocked("ABC-1", stock=10)
        checkout_id = check_out(("ABC-1", 3))
        with transaction.atomic(using="orders"):
            commands.cancel_order(order_id=Order.objects.get().id)

        check_out(("ABC-1", 3), checkout_id=checkout_id)

        assert Order.objects.count() == 1
        assert stock_of("ABC-1") == 10

    def test_of_another_customer_or_of_none_is_another_matter(self) -> None:
        stocked("ABC-1", stock=10)
        check_out(("ABC-1", 1))
        check_out(("ABC-1", 1))
        for _ in range(2):
            assert customer().post(ORDERS, lines(ABC_1=1)).status_code == 201
        assert [bool(message.payload["checkout_id"]) for message in published(PLACED)] == [True, True, False, False]

    def test_cannot_be_stored_twice(self) -> None:
        stocked("ABC-1")
        check_out(("ABC-1", 1))
        check_out(("ABC-1", 1))
        first, second = Order.objects.all()
        with pytest.raises(IntegrityError), transaction.atomic(using="orders"):
            Order.objects.filter(pk=second.pk).update(checkout_id=first.checkout_id)


class TestARefusal:
    def refused(self, *wanted: tuple[Any, Any], **changes: Any) -> tuple[str, str]:
        """Check out, and assert that only a refusal is published; returns its code and detail."""
        before = everything()
        checkout_id = check_out(*wanted, **changes)
        assert everything() == {**before, "outbox": int(str(before["outbox"])) + 1}
        message = published(REFUSED)[-1]
        assert message.key == message.payload["checkout_id"] == str(checkout_id)
        assert datetime.fromisoformat(message.payload["refused_at"]).tzinfo
        return message.payload["code"], message.payload["detail"]

    def test_says_that_too_little_is_left(self) -> None:
        stocked("ABC-1", stock=10)
        stocked("ABC-2", stock=3)
        assert self.refused(("ABC-1", 1), ("ABC-2", 4)) == ("out_of_stock", "Only 3 of ABC-2 are left.")

    @pytest.mark.parametrize("sku", ["NO-SUCH", "", "abc-1", "ABC-1\0", "ABC-1\n", "\u20ac", "A" * 10_000])
    def test_names_an_unknown_product_whatever_it_is_called(self, sku: str) -> None:
        stocked("ABC-1")
        code, detail = self.refused(("ABC-1", 1), (sku, 1))
        assert code == "unknown_sku"
        assert len(detail) < 120

    def test_says_that_the_customer_is_deactivated(self) -> None:
        stocked("ABC-1")
        subject = uuid4()
        Customer.remember(subject, active=False)
        assert self.refused(("ABC-1", 1), customer_id=subject)[0] == "customer_deactivated"

    @pytest.mark.parametrize(
        "wanted",
        [
            [],
            [("ABC-1", 0)],
            [("ABC-1", -1)],
            [("ABC-1", 1_001)],
            [("ABC-1", 2**63)],
            [("ABC-1", 1), ("ABC-1", 1)],
            [(f"ABC-{number}", 1) for number in range(51)],
        ],
    )
    def test_answers_what_no_sender_should_ask(self, wanted: list[tuple[str, int]]) -> None:
        stocked("ABC-1", stock=5_000)
        assert self.refused(*wanted)[0] == "invalid_order"

    def test_names_the_customer_who_asked(self) -> None:
        subject = uuid4()
        check_out(("NO-SUCH", 1), customer_id=subject)
        [message] = published(REFUSED)
        assert message.payload["customer_id"] == str(subject)

    def test_is_not_the_end_of_the_checkout_when_it_is_asked_for_again(self) -> None:
        checkout_id = check_out(("ABC-1", 1))
        stocked("ABC-1")
        check_out(("ABC-1", 1), checkout_id=checkout_id)
        assert [message.wire_name for message in testing.published("orders")] == [
            REFUSED,
            "orders.product_changed",
            PLACED,
        ]


class TestWhoMayAsk:
    @pytest.mark.parametrize("sender", ["users", "orders", "stranger"])
    def test_nobody_but_those_whom_the_module_names(self, sender: str) -> None:
        stocked("ABC-1")
        before = everything()
        with pytest.raises(AssertionError, match=f"orders refused orders.place_order from {sender}"):
            check_out(("ABC-1", 1), sender=sender)
        assert everything() == before


class TestADeadLetter:
    @pytest.mark.parametrize("changes", [{"lines": None}, {"customer_id": "no-uuid"}, {"checkout_id": 7}])
    def test_is_what_cannot_be_read(self, changes: dict[str, Any]) -> None:
        stocked("ABC-1")
        before = everything()
        check_out(("ABC-1", 1), may_park=True, **changes)
        assert everything() == before
