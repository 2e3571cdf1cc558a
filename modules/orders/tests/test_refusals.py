"""Invalid input is answered with a precise problem document and changes nothing."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from rest_framework.test import APIClient

from modules.orders.tests.shop import ORDERS, customer, everything, lines, stocked
from pangaea import testing

pytestmark = pytest.mark.django_db(databases=["orders"])


def refused(body: Any, client: APIClient | None = None) -> tuple[int, dict[str, Any]]:
    """Place an order that must be refused and change nothing; returns the status and the problem document."""
    before = everything()
    response = (client or customer()).post(ORDERS, body)
    assert everything() == before
    assert response["Content-Type"].startswith("application/problem+json")
    problem: dict[str, Any] = response.json()
    assert problem["status"] == response.status_code
    return response.status_code, problem


class TestAProduct:
    @pytest.mark.parametrize("sku", ["NO-SUCH", "abc-1", " ABC-1", "ABC-1;--", "", "\u20ac"])
    def test_that_does_not_exist_is_named(self, sku: str) -> None:
        stocked("ABC-1")
        status, problem = refused({"lines": [{"sku": "ABC-1", "quantity": 1}, {"sku": sku, "quantity": 1}]})
        if not sku:
            assert (status, problem["errors"][0]["pointer"]) == (400, "#/lines/1/sku")
            return
        assert (status, problem["code"], problem["sku"]) == (422, "unknown_sku", sku)
        assert sku in problem["detail"]

    def test_that_is_not_for_sale_looks_the_same(self) -> None:
        stocked("OLD-1", active=False)
        status, problem = refused(lines(OLD_1=1))
        assert (status, problem["code"], problem["sku"]) == (422, "unknown_sku", "OLD-1")

    def test_of_which_there_is_too_little_is_named_with_what_is_left(self) -> None:
        stocked("ABC-1", stock=10)
        stocked("ABC-2", stock=3)
        status, problem = refused(lines(ABC_1=1, ABC_2=4))
        assert (status, problem["code"]) == (409, "out_of_stock")
        assert (problem["sku"], problem["available"]) == ("ABC-2", 3)

    def test_in_another_currency_than_the_rest_is_refused(self) -> None:
        stocked("ABC-1")
        stocked("YEN-1", currency="JPY")
        status, problem = refused(lines(ABC_1=1, YEN_1=1))
        assert (status, problem["code"], problem["currencies"]) == (422, "mixed_currencies", ["EUR", "JPY"])


class TestAQuantity:
    @pytest.mark.parametrize(
        "quantity", [0, -1, -(2**31), 1_001, 2**31, 2**62, "1", "", 1.5, 1e300, True, False, None, [], [1], {}]
    )
    def test_that_is_no_number_from_1_to_1000_is_pointed_at(self, quantity: object) -> None:
        stocked("ABC-1", stock=5_000)
        status, problem = refused(lines(ABC_1=quantity))
        assert status == 400
        assert [error["pointer"] for error in problem["errors"]] == ["#/lines/0/quantity"]

    def test_in_a_later_line_is_pointed_at_there(self) -> None:
        stocked("ABC-1")
        stocked("ABC-2")
        status, problem = refused(lines(ABC_1=1, ABC_2=0))
        assert (status, [error["pointer"] for error in problem["errors"]]) == (400, ["#/lines/1/quantity"])

    def test_of_any_length_of_digits_is_a_bad_request(self) -> None:
        stocked("ABC-1")
        before = everything()
        body = f'{{"lines": [{{"sku": "ABC-1", "quantity": {"9" * 10_000}}}]}}'
        response = customer().post(ORDERS, body.encode(), content_type="application/json")
        assert response.status_code == 400
        assert everything() == before


class TestABody:
    @pytest.mark.parametrize(
        ("body", "pointer"),
        [
            ({}, "#/lines"),
            ({"lines": None}, "#/lines"),
            ({"lines": "ABC-1"}, "#/lines"),
            ({"lines": {}}, "#/lines"),
            ({"lines": []}, "#/lines"),
            ({"lines": ["ABC-1"]}, "#/lines/0"),
            ({"lines": [None]}, "#/lines/0"),
            ({"lines": [{"quantity": 1}]}, "#/lines/0/sku"),
            ({"lines": [{"sku": None, "quantity": 1}]}, "#/lines/0/sku"),
            ({"lines": [{"sku": 7, "quantity": 1}]}, "#/lines/0/sku"),
            ({"lines": [{"sku": True, "quantity": 1}]}, "#/lines/0/sku"),
            ({"lines": [{"sku": ["ABC-1"], "quantity": 1}]}, "#/lines/0/sku"),
            ({"lines": [{"sku": "A" * 65, "quantity": 1}]}, "#/lines/0/sku"),
            ({"lines": [{"sku": "ABC-1\0", "quantity": 1}]}, "#/lines/0/sku"),
            ({"lines": [{"sku": "ABC-1"}]}, "#/lines/0/quantity"),
            ({"lines": [{"sku": "ABC-1", "quantity": 1, "unit_price": 1}]}, "#/lines/0/unit_price"),
            ({"lines": [{"sku": "ABC-1", "quantity": 1}], "total": 1}, "#/total"),
            ({"lines": [{"sku": "ABC-1", "quantity": 1}], "customer_id": str(uuid4())}, "#/customer_id"),
            ({"lines": [{"sku": "ABC-1", "quantity": 1}] * 2}, "#/lines/1/sku"),
            ({"lines": [{"sku": f"ABC-{number}", "quantity": 1} for number in range(51)]}, "#/lines"),
        ],
    )
    def test_of_another_shape_is_pointed_at(self, body: object, pointer: str) -> None:
        stocked("ABC-1")
        status, problem = refused(body)
        assert status == 400
        assert [error["pointer"] for error in problem["errors"]] == [pointer]
        assert problem["errors"][0]["detail"]

    def test_with_thousands_of_mistakes_gets_a_short_answer(self) -> None:
        status, problem = refused({**lines(ABC_1=1), **{f"member_{number}": 1 for number in range(5_000)}})
        assert (status, len(problem["errors"])) == (400, 10)

    @pytest.mark.parametrize("body", [[], [1], "text", 7, None])
    def test_that_is_no_object_is_refused(self, body: object) -> None:
        assert refused(body)[0] == 400

    @pytest.mark.parametrize(
        "body", [b"", b"{", b"\xff", b'{"lines": NaN}', b'{"\\ud800": 1}', b'[{"sku":' * 100_000, b"null"]
    )
    def test_that_is_no_json_is_refused(self, body: bytes) -> None:
        before = everything()
        response = customer().post(ORDERS, body, content_type="application/json")
        assert response.status_code == 400
        assert everything() == before

    def test_that_is_a_form_is_refused(self) -> None:
        response = customer().post(ORDERS, "lines=1", content_type="application/x-www-form-urlencoded")
        assert response.status_code == 415


class TestACaller:
    def test_without_a_token_is_told_to_bring_one(self) -> None:
        stocked("ABC-1")
        status, problem = refused(lines(ABC_1=1), APIClient())
        assert (status, problem["code"]) == (401, "token_missing")

    def test_with_an_expired_token_is_refused(self) -> None:
        stocked("ABC-1")
        client = APIClient()
        client.credentials(
            HTTP_AUTHORIZATION="Bearer " + testing.access_token(uuid4(), lifetime=timedelta(minutes=-10))
        )
        assert refused(lines(ABC_1=1), client)[0] == 401

    def test_with_somebody_elses_signature_is_refused(self) -> None:
        stocked("ABC-1")
        head, payload, signature = testing.access_token(uuid4()).split(".")
        client = APIClient()
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {head}.{payload}.{signature[::-1]}")
        assert refused(lines(ABC_1=1), client)[0] == 401
