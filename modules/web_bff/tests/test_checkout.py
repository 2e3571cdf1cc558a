from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import transaction
from rest_framework.test import APIClient

from modules.web_bff import commands
from modules.web_bff.models import Checkout
from modules.web_bff.tests import received
from modules.web_bff.tests.conftest import Answering
from pangaea.errors import Misuse
from pangaea.ids import uuid7
from pangaea.testing import client_for, expire_answers, published

pytestmark = pytest.mark.django_db(databases="__all__")

CHECKOUT = "/bff/v1/checkout"
# The result of a checkout is read with two queries, whatever it is.
QUERIES = 2


def lines(*skus: str, quantity: Any = 1) -> dict[str, Any]:
    return {"lines": [{"sku": sku, "quantity": quantity} for sku in skus]}


def taken(customer_id: UUID) -> UUID:
    """A checkout of this customer."""
    return UUID(client_for(customer_id).post(CHECKOUT, lines("TEA-1")).json()["id"])


def state_of(checkout_id: UUID, customer_id: UUID) -> Any:
    return client_for(customer_id).get(f"/bff/v1/checkouts/{checkout_id}").json()


class TestCheckout:
    def test_has_quotas_by_the_plan_and_reads_have_none(self, customer_id: UUID) -> None:
        client = client_for(customer_id, plan="pro")
        answer = client.post(CHECKOUT, lines("TEA-1"))
        assert answer.headers["RateLimit-Policy"].endswith('"web_bff:checkouts_per_day";q=100000;w=86400')
        assert '"web_bff:checkouts_per_minute";r=599;' in answer.headers["RateLimit"]
        assert "RateLimit" not in client.get("/bff/v1/home").headers

    def test_is_taken_and_says_where_to_ask_what_became_of_it(self, customer_id: UUID) -> None:
        client = client_for(customer_id)

        response = client.post(CHECKOUT, lines("TEA-1", "CUP-1", quantity=2))

        assert response.status_code == 202
        checkout = response.json()
        assert response["Location"] == f"/bff/v1/checkouts/{checkout['id']}"
        assert checkout == {"id": checkout["id"], "status": "pending", "order_id": None, "refusal": None}
        assert client.get(response["Location"]).json() == checkout

    def test_asks_orders_by_a_command_that_nobody_else_gets(self, customer_id: UUID) -> None:
        client = client_for(customer_id)
        checkout = client.post(CHECKOUT, lines("TEA-1", "CUP-1", quantity=2)).json()

        [command] = published("web_bff")

        assert (command.wire_name, command.version, command.audience) == ("orders.place_order", 1, "orders")
        assert command.key == checkout["id"]
        assert command.payload == {
            "checkout_id": checkout["id"],
            "customer_id": str(customer_id),
            "lines": [{"sku": "TEA-1", "quantity": 2}, {"sku": "CUP-1", "quantity": 2}],
        }

    def test_is_another_one_each_time(self, customer_id: UUID) -> None:
        assert taken(customer_id) != taken(customer_id)

    def test_is_the_same_one_when_it_is_sent_again_with_its_key(self, customer_id: UUID) -> None:
        key: Any = {"headers": {"Idempotency-Key": '"8e03978e-40d5-43dd-bc93-6894a57f9324"'}}
        client = client_for(customer_id)
        first, repeat = (client.post(CHECKOUT, lines("TEA-1"), **key) for _ in range(2))
        other = client.post(CHECKOUT, lines("CUP-1"), **key)

        assert (repeat.status_code, repeat.content, repeat["Location"]) == (202, first.content, first["Location"])
        assert repeat["Idempotent-Replayed"] == "true"
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
        assert (Checkout.objects.count(), len(published("web_bff"))) == (1, 1)

    def test_that_is_sent_again_late_gets_its_present_state(self, customer_id: UUID) -> None:
        key: Any = {"headers": {"Idempotency-Key": "one"}}
        client = client_for(customer_id)
        first = client.post(CHECKOUT, lines("TEA-1"), **key)
        expire_answers("web_bff")
        repeat = client.post(CHECKOUT, lines("TEA-1"), **key)

        assert (repeat.status_code, repeat["Location"]) == (200, first["Location"])
        assert repeat.json() == client.get(first["Location"]).json()
        assert Checkout.objects.count() == 1

    def test_knows_no_product_and_asks_for_any(self, customer_id: UUID) -> None:
        assert client_for(customer_id).post(CHECKOUT, lines("NO-SUCH-THING")).status_code == 202

    def test_as_a_command_needs_the_transaction_of_its_caller(self, customer_id: UUID) -> None:
        with pytest.raises(Misuse):
            commands.check_out(customer_id=customer_id, quantities={"TEA-1": 1})

    def test_that_is_rolled_back_asks_nothing(self, customer_id: UUID) -> None:
        with transaction.atomic(using="web_bff"):
            commands.check_out(customer_id=customer_id, quantities={"TEA-1": 1})
            transaction.set_rollback(True, using="web_bff")

        assert published("web_bff") == []
        assert not Checkout.objects.exists()


class TestABadCheckout:
    @pytest.mark.parametrize(
        ("body", "pointer"),
        [
            ({}, "#/lines"),
            ({"lines": None}, "#/lines"),
            ({"lines": "TEA-1"}, "#/lines"),
            ({"lines": []}, "#/lines"),
            ({"lines": ["TEA-1"]}, "#/lines/0"),
            ({"lines": [{"quantity": 1}]}, "#/lines/0/sku"),
            (lines(""), "#/lines/0/sku"),
            (lines("A" * 65), "#/lines/0/sku"),
            (lines("TEA-1\0"), "#/lines/0/sku"),
            ({"lines": [{"sku": 7, "quantity": 1}]}, "#/lines/0/sku"),
            ({"lines": [{"sku": "TEA-1"}]}, "#/lines/0/quantity"),
            *((lines("TEA-1", quantity=each), "#/lines/0/quantity") for each in (0, -1, 1_001, "1", 1.5, True, None)),
            (lines("TEA-1", "CUP-1", "TEA-1"), "#/lines/2/sku"),
            (lines(*map(str, range(51))), "#/lines"),
            ({**lines("TEA-1"), "customer_id": str(uuid4())}, "#/customer_id"),
            ({"lines": [{"sku": "TEA-1", "quantity": 1, "unit_price": 1}]}, "#/lines/0/unit_price"),
        ],
    )
    def test_is_pointed_at_and_asks_nothing(self, customer_id: UUID, body: object, pointer: str) -> None:
        response = client_for(customer_id).post(CHECKOUT, body)

        assert response.status_code == 400
        assert response["Content-Type"].startswith("application/problem+json")
        assert [error["pointer"] for error in response.json()["errors"]] == [pointer]
        assert published("web_bff") == []
        assert not Checkout.objects.exists()

    @pytest.mark.parametrize("body", [b"", b"{", b"null", b"[]", b'{"lines": NaN}'])
    def test_that_is_no_json_object_is_refused(self, customer_id: UUID, body: bytes) -> None:
        response = client_for(customer_id).post(CHECKOUT, body, content_type="application/json")

        assert response.status_code == 400
        assert published("web_bff") == []


class TestAnOutcome:
    def test_is_the_order(self, customer_id: UUID) -> None:
        checkout_id = taken(customer_id)
        order_id = received.order_placed(customer_id, checkout_id=str(checkout_id))

        assert state_of(checkout_id, customer_id) == {
            "id": str(checkout_id),
            "status": "placed",
            "order_id": str(order_id),
            "refusal": None,
        }
        assert client_for(customer_id).get(f"/bff/v1/orders/{order_id}").status_code == 200

    def test_is_found_by_its_checkout_in_capitals(self, customer_id: UUID) -> None:
        checkout_id = taken(customer_id)
        shown = client_for(customer_id).get(f"/bff/v1/checkouts/{str(checkout_id).upper()}").json()
        assert shown == state_of(checkout_id, customer_id)

    def test_is_the_refusal(self, customer_id: UUID) -> None:
        checkout_id = taken(customer_id)
        received.order_refused(checkout_id, customer_id)

        assert state_of(checkout_id, customer_id) == {
            "id": str(checkout_id),
            "status": "refused",
            "order_id": None,
            "refusal": {"code": "out_of_stock", "detail": "TEA-1 is sold out."},
        }

    def test_of_one_checkout_is_not_that_of_another(self, customer_id: UUID) -> None:
        pending, placed = taken(customer_id), taken(customer_id)
        received.order_placed(customer_id, checkout_id=str(placed))
        received.order_placed(customer_id)
        received.order_placed(customer_id, checkout_id=None)

        assert state_of(pending, customer_id)["status"] == "pending"

    def test_stays_when_the_order_is_cancelled(self, customer_id: UUID) -> None:
        checkout_id = taken(customer_id)
        order_id = received.order_placed(customer_id, checkout_id=str(checkout_id))
        received.order_cancelled(order_id, customer_id)

        assert state_of(checkout_id, customer_id)["status"] == "placed"

    @pytest.mark.parametrize("refused_first", [True, False])
    def test_is_the_order_in_either_order_of_arrival(self, customer_id: UUID, refused_first: bool) -> None:
        checkout_id = taken(customer_id)
        if refused_first:
            received.order_refused(checkout_id, customer_id)
        order_id = received.order_placed(customer_id, checkout_id=str(checkout_id))
        if not refused_first:
            received.order_refused(checkout_id, customer_id)

        assert state_of(checkout_id, customer_id)["order_id"] == str(order_id)

    def test_is_the_latest_refusal(self, customer_id: UUID) -> None:
        checkout_id = taken(customer_id)
        received.order_refused(checkout_id, customer_id)
        received.order_refused(checkout_id, customer_id, code="unknown_sku", detail="There is no TEA-1.")

        assert state_of(checkout_id, customer_id)["refusal"]["code"] == "unknown_sku"

    def test_needs_nothing_of_the_order_but_its_id(self, customer_id: UUID) -> None:
        checkout_id = taken(customer_id)
        received.order_placed(customer_id, checkout_id=str(checkout_id), may_park=True, total=None)

        assert state_of(checkout_id, customer_id)["status"] == "placed"

    @pytest.mark.parametrize("answered", [True, False])
    def test_takes_two_queries(self, customer_id: UUID, answered: bool, answered_with: Answering) -> None:
        checkout_id = taken(customer_id)
        if answered:
            received.order_refused(checkout_id, customer_id)
        client = client_for(customer_id)

        with answered_with(QUERIES):
            assert client.get(f"/bff/v1/checkouts/{checkout_id}").status_code == 200


class TestWhoMayAsk:
    def test_nobody_for_another_customers_checkout(self, customer_id: UUID) -> None:
        others = taken(uuid7())
        client = client_for(customer_id)

        problems = [client.get(f"/bff/v1/checkouts/{checkout_id}") for checkout_id in (others, uuid7())]

        assert [problem.status_code for problem in problems] == [404, 404]
        assert [problem.json()["code"] for problem in problems] == ["checkout_not_found", "checkout_not_found"]
        assert problems[0].json()["detail"] == problems[1].json()["detail"]

    def test_nobody_without_a_token(self, customer_id: UUID) -> None:
        checkout_id = taken(customer_id)

        assert APIClient().post(CHECKOUT, lines("TEA-1")).status_code == 401
        assert APIClient().get(f"/bff/v1/checkouts/{checkout_id}").status_code == 401

    def test_nobody_whose_token_lacks_the_scope(self, customer_id: UUID) -> None:
        checkout_id = taken(customer_id)
        reader, writer = client_for(customer_id, scopes=["web_bff:read"]), client_for(customer_id, ["web_bff:checkout"])

        assert reader.post(CHECKOUT, lines("TEA-1")).status_code == 403
        assert writer.get(f"/bff/v1/checkouts/{checkout_id}").status_code == 403
        assert len(published("web_bff")) == 1
