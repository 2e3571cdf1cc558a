"""The documents are as strict as the server, and every request and answer in them has an example."""

from collections.abc import Iterator
from typing import Any

import pytest

from pangaea import modules
from pangaea.api.openapi import document
from pangaea.testing.documented import DocumentedAPI

WHOLE: dict[str, Any] = document.build()[0]
SCHEMAS = WHOLE["components"]["schemas"]
API = DocumentedAPI(WHOLE)


def operations() -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in WHOLE["paths"].items():
        for method, operation in item.items():
            yield f"{method} {path}", operation


def contents() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every Media Type Object of a request and of an answer, with the name of its place."""
    for name, operation in operations():
        if "requestBody" in operation:
            yield f"{name} request", operation["requestBody"]["content"]["application/json"]
        for status, response in operation["responses"].items():
            for media_type, content in API.resolved(response).get("content", {}).items():
                yield f"{name} {status} {media_type}", content


def parts(schema: Any) -> Iterator[dict[str, Any]]:
    """The schema and all schemas in it."""
    if isinstance(schema, dict):
        yield schema
        for each in schema.values():
            yield from parts(each)
    elif isinstance(schema, list):
        for each in schema:
            yield from parts(each)


class TestExamples:
    @pytest.mark.parametrize(
        ("place", "content"), list(contents()), ids=lambda each: each if isinstance(each, str) else ""
    )
    def test_are_valid(self, place: str, content: dict[str, Any]) -> None:
        named = {name: API.resolved(each)["value"] for name, each in content.get("examples", {}).items()}
        examples = named or {"example": content["example"]}
        for name, example in examples.items():
            assert list(API.mistakes(content["schema"], example, name)) == []

    def test_of_parameters_are_valid(self) -> None:
        for name, operation in operations():
            for parameter in map(API.resolved, operation.get("parameters", ())):
                if parameter["name"] == "cursor":
                    continue
                assert list(API.mistakes(parameter["schema"], parameter["example"], name)) == []

    def test_of_problems_have_their_status_and_type(self) -> None:
        for name, operation in operations():
            for status, response in operation["responses"].items():
                problems = API.resolved(response).get("content", {}).get("application/problem+json", {})
                for code, example in problems.get("examples", {}).items():
                    value = API.resolved(example)["value"]
                    assert (value["code"], value["type"]) == (code, f"/problems/{code}"), name
                    assert status in {"default", str(value["status"])}, name


class TestRequests:
    def test_are_closed(self) -> None:
        for name, operation in operations():
            if "requestBody" in operation:
                schema = API.resolved(operation["requestBody"]["content"]["application/json"]["schema"])
                assert schema["additionalProperties"] is False, name
                assert operation["requestBody"]["content"].keys() == {"application/json"}

    def test_bound_every_text_list_and_number(self) -> None:
        for name, component in SCHEMAS.items():
            if not name.endswith("Request"):
                continue
            for schema in parts(component):
                match schema.get("type"):
                    case "string":
                        assert "maxLength" in schema or "enum" in schema, (name, schema)
                        assert {"pattern", "format", "enum"} & schema.keys(), (name, schema)
                    case "integer":
                        assert {"minimum", "maximum"} <= schema.keys(), (name, schema)
                    case "array":
                        assert "maxItems" in schema, (name, schema)

    def test_have_the_bounds_of_an_order(self) -> None:
        lines = SCHEMAS["OrdersNewOrderRequest"]["properties"]["lines"]
        assert (lines["minItems"], lines["maxItems"]) == (1, 50)

    def test_have_the_length_of_a_new_password(self) -> None:
        assert SCHEMAS["UsersRegistrationRequest"]["properties"]["password"]["minLength"] == 10
        assert SCHEMAS["UsersCredentialsRequest"]["properties"]["password"]["minLength"] == 1

    def test_name_the_member_that_another_one_needs(self) -> None:
        change = SCHEMAS["PatchedUsersProfileChangeRequest"]
        assert change["dependentRequired"] == {"email": ["current_password"]}


class TestAnswers:
    def test_are_open_for_members_to_come(self) -> None:
        for name, component in SCHEMAS.items():
            if not name.endswith("Request"):
                assert component.get("additionalProperties", True) is True, name

    @pytest.mark.parametrize(
        ("component", "member"), [("WebBffHome", "me"), ("WebBffCheckout", "refusal"), ("WebBffCheckout", "order_id")]
    )
    def test_may_be_null_where_the_server_has_nothing(self, component: str, member: str) -> None:
        schema = SCHEMAS[component]["properties"][member]
        assert list(API.mistakes(schema, None, member)) == []
        assert list(API.mistakes(schema, 7, member)) != []


class TestLinks:
    def test_lead_to_operations_and_parameters_that_there_are(self) -> None:
        known = {operation["operationId"]: operation for _, operation in operations()}
        links = [
            link
            for _, operation in operations()
            for response in operation["responses"].values()
            for link in API.resolved(response).get("links", {}).values()
        ]
        assert len(links) > 5
        for link in links:
            names = {parameter["name"] for parameter in known[link["operationId"]]["parameters"]}
            assert link["parameters"].keys() <= names

    def test_lead_from_an_order_to_what_can_be_done_with_it(self) -> None:
        placed = WHOLE["paths"]["/api/v1/orders"]["post"]["responses"]["201"]
        assert placed["links"].keys() == {"orders_read_order", "orders_cancel_order"}


class TestOperations:
    def test_have_a_summary_and_a_description(self) -> None:
        for name, operation in operations():
            assert operation["summary"], name
            assert operation["description"], name
            assert not operation["summary"].endswith("."), name

    @pytest.mark.parametrize("label", [None, *modules.labels()])
    def test_of_every_document_use_no_member_of_an_older_version(self, label: str | None) -> None:
        built, _ = document.build(modules.named(label) if label else None)
        for schema in parts(built):
            assert schema.get("nullable") is not True
            assert not isinstance(schema.get("exclusiveMinimum"), bool)
