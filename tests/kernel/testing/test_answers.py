"""Answers that differ from the OpenAPI document fail the test that gets them."""

import json
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings
from django.http import HttpResponse, JsonResponse
from django.test import RequestFactory

from pangaea.api.openapi.problems import SCHEMA
from pangaea.testing import Exchange, verify_exchange
from pangaea.testing.answers import AnswersMiddleware
from pangaea.testing.documented import DocumentedAPI

JSON = "application/json"
PROBLEM = "application/problem+json"
MONEY = {
    "type": "object",
    "required": ["amount", "currency"],
    "properties": {"amount": {"type": "integer"}, "currency": {"type": "string"}},
}
HEADERS = {"X-Correlation-ID": {"required": True, "schema": {"type": "string"}}}
DOCUMENT: dict[str, Any] = {
    "paths": {
        "/api/v1/orders": {
            "post": {
                "requestBody": {"content": {JSON: {"schema": {"$ref": "#/components/schemas/NewOrder"}}}},
                "responses": {
                    "201": {"content": {JSON: {"schema": {"$ref": "#/components/schemas/Order"}}}, "headers": HEADERS},
                    "400": {"$ref": "#/components/responses/Problem400"},
                },
            }
        },
        "/api/v1/orders/{order_id}": {
            "get": {
                "parameters": [
                    {"in": "path", "name": "order_id", "schema": {"type": "string", "format": "uuid"}},
                    {"in": "query", "name": "limit", "schema": {"type": "integer", "maximum": 100}},
                ],
                "responses": {
                    "200": {"content": {JSON: {"schema": {"$ref": "#/components/schemas/Order"}}}, "headers": HEADERS},
                    "404": {
                        "content": {
                            PROBLEM: {
                                "schema": {"$ref": "#/components/schemas/Problem"},
                                "examples": {"order_not_found": {"value": {"order_id": "7"}}},
                            }
                        },
                        "headers": HEADERS,
                    },
                },
            }
        },
    },
    "components": {
        "responses": {
            "Problem400": {
                "content": {
                    PROBLEM: {"schema": {"properties": {"code": {}}}, "examples": {"validation_failed": {"value": {}}}}
                },
                "headers": HEADERS,
            }
        },
        "schemas": {
            "Money": MONEY,
            "Problem": dict(SCHEMA),
            "NewOrder": {"type": "object", "required": ["sku"], "properties": {"sku": {"maxLength": 3}}},
            "Order": {
                "type": "object",
                "required": ["id", "total", "placed_at"],
                "properties": {
                    "id": {"type": "string", "format": "uuid"},
                    "total": {"$ref": "#/components/schemas/Money"},
                    "placed_at": {"type": "string", "format": "date-time"},
                    "cancelled_at": {"type": ["string", "null"], "format": "date-time"},
                },
            },
        },
    },
}
API = DocumentedAPI(DOCUMENT)
ORDER: dict[str, Any] = {
    "id": str(uuid4()),
    "total": {"amount": 1999, "currency": "EUR"},
    "placed_at": "2026-01-02T03:04:05Z",
    "cancelled_at": None,
}
READ = Exchange(
    method="GET",
    url=f"/api/v1/orders/{ORDER['id']}",
    status=200,
    headers={"Content-Type": "application/json", "X-Correlation-ID": "1"},
    body=json.dumps(ORDER).encode(),
)
MISSING = replace(
    READ,
    status=404,
    headers={**READ.headers, "Content-Type": "application/problem+json"},
    body=json.dumps(
        {"type": "/problems/order_not_found", "title": "", "status": 404, "detail": "", "code": "order_not_found"}
    ).encode(),
)


def differs(exchange: Exchange, *expected: str) -> None:
    """Assert that the exchange is refused, with these texts in the message."""
    with pytest.raises(AssertionError) as refusal:
        verify_exchange(exchange, api=API)
    for text in expected:
        assert text in str(refusal.value)


def order(**members: object) -> Exchange:
    return replace(READ, body=json.dumps(ORDER | members).encode())


class TestAnAnswer:
    @pytest.mark.parametrize("exchange", [READ, MISSING])
    def test_that_is_documented_is_accepted(self, exchange: Exchange) -> None:
        verify_exchange(exchange, api=API)

    def test_of_a_path_that_is_not_documented_is_ignored(self) -> None:
        verify_exchange(replace(READ, url="/admin/", status=418), api=API)

    def test_of_a_wrong_type_is_refused_with_its_place_and_value(self) -> None:
        differs(
            order(total={"amount": "1999", "currency": "EUR"}),
            "GET /api/v1/orders/{order_id}",
            "responses/200: $.total.amount: '1999' is not of type 'integer'",
        )

    def test_of_a_wrong_format_is_refused(self) -> None:
        differs(order(placed_at="yesterday"), "$.placed_at: 'yesterday' is not a 'date-time'")
        differs(order(id="7"), "$.id: '7' is not a 'uuid'")

    def test_with_an_undocumented_null_is_refused(self) -> None:
        differs(order(placed_at=None), "$.placed_at: None is not of type 'string'")

    def test_without_a_member_is_refused(self) -> None:
        incomplete = {name: value for name, value in ORDER.items() if name != "total"}
        differs(replace(READ, body=json.dumps(incomplete).encode()), "'total' is a required property")

    def test_with_an_undocumented_member_is_refused(self) -> None:
        differs(order(colour="red"), "'colour' was unexpected")
        differs(order(total={"amount": 1, "currency": "EUR", "tax": 0}), "$.total", "'tax' was unexpected")

    def test_with_an_undocumented_status_is_refused(self) -> None:
        differs(replace(READ, status=203), "responses: there is no 203")

    def test_in_another_format_is_refused(self) -> None:
        headers = {**READ.headers, "Content-Type": "text/html; charset=utf-8"}
        differs(replace(READ, headers=headers), "responses/200/content: there is no 'text/html'")

    def test_with_an_undocumented_code_is_refused_with_the_remedy(self) -> None:
        problem = json.loads(MISSING.body) | {"code": "sold"}
        differs(
            replace(MISSING, body=json.dumps(problem).encode()),
            "responses/404: it has no code 'sold'",
            '`problems = {"get": ("sold", …)}`',
        )

    def test_with_an_undocumented_member_of_a_code_is_refused(self) -> None:
        problem = json.loads(MISSING.body) | {"order_id": "8"}
        verify_exchange(replace(MISSING, body=json.dumps(problem).encode()), api=API)
        problem["reason"] = "none"
        differs(replace(MISSING, body=json.dumps(problem).encode()), "order_not_found has no member reason")

    def test_with_an_undocumented_header_is_refused(self) -> None:
        differs(replace(READ, headers={**READ.headers, "X-Odd": "1"}), "there is no x-odd, which the answer has: '1'")

    def test_without_a_documented_header_is_refused(self) -> None:
        differs(replace(READ, headers={"Content-Type": "application/json"}), "the answer has no x-correlation-id")


class TestARequest:
    PLACED = replace(READ, method="POST", url="/api/v1/orders", status=201)

    def test_that_was_accepted_must_be_documented(self) -> None:
        differs(replace(self.PLACED, request=b"{}"), "requestBody: $: 'sku' is a required property")
        differs(replace(self.PLACED, request=b'{"sku": "LONG"}'), "$.sku: 'LONG' is too long")
        differs(replace(READ, url=f"{READ.url}?limit=101"), "parameters/query/limit: $: 101 is greater")
        verify_exchange(replace(self.PLACED, request=b'{"sku": "ABC"}'), api=API)

    def test_is_compared_in_the_spelling_that_the_server_counts(self) -> None:
        verify_exchange(replace(self.PLACED, request='{"sku": "e\u0301e\u0301e\u0301"}'.encode()), api=API)

    def test_that_was_refused_may_be_anything(self) -> None:
        refused = replace(MISSING, method="POST", url="/api/v1/orders", status=400, request=b"[]")
        verify_exchange(replace(refused, body=b'{"code": "validation_failed"}'), api=API)


class TestTheProfile:
    def test_verifies_every_answer(self) -> None:
        assert settings.MIDDLEWARE[0] == "pangaea.testing.answers.AnswersMiddleware"
        request = RequestFactory().get("/api/v1/products")
        with pytest.raises(AssertionError, match="GET /api/v1/products differs"):
            AnswersMiddleware(lambda _: JsonResponse({"products": []}))(request)

    def test_leaves_other_addresses_alone(self) -> None:
        answer = AnswersMiddleware(lambda _: HttpResponse("page"))(RequestFactory().get("/anything"))
        assert answer.status_code == 200
