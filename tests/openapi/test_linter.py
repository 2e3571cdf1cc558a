"""The linter accepts every document, and each of its rules refuses a document that breaks it."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.openapi import node
from tests.openapi.documents import documents
from tests.openapi.linting import RULES, Finding, lint

pytestmark = pytest.mark.full

CORRELATION = {"X-Correlation-ID": {"schema": {"type": "string"}}}
REFUSAL = {
    "description": "A refusal.",
    "headers": CORRELATION,
    "content": {"application/problem+json": {"schema": {"type": "object"}}},
}
CONFORMING: dict[str, Any] = {
    "openapi": "3.1.1",
    "info": {"title": "Stones", "version": "1"},
    "paths": {
        "/api/v1/loose-stones/{stone_id}": {
            "post": {
                "operationId": "stones_turn_stone",
                "description": "Turn a stone over.",
                "tags": ["stones"],
                "security": [{"bearer": []}],
                "parameters": [
                    {"in": "path", "name": "stone_id", "required": True, "schema": {"type": "string", "format": "uuid"}}
                ],
                "requestBody": {
                    "content": {
                        "application/json": {
                            "schema": {
                                "type": "object",
                                "additionalProperties": False,
                                "properties": {
                                    "turns": {"type": "integer", "minimum": 1, "maximum": 9},
                                    "reason": {"type": ["string", "null"], "maxLength": 80},
                                    "sides": {"type": "array", "maxItems": 2, "items": {"enum": ["top", "bottom"]}},
                                },
                            },
                            "example": {"turns": 2},
                        }
                    }
                },
                "responses": {
                    "201": {
                        "description": "Turned.",
                        "headers": {**CORRELATION, "Location": {"schema": {"type": "string"}}},
                        "content": {
                            "application/json": {
                                "schema": {"type": "object", "properties": {"turned_at": {"type": "string"}}},
                                "example": {"turned_at": "2026-01-01T00:00:00Z"},
                            }
                        },
                    },
                    "401": {
                        **REFUSAL,
                        "headers": {**CORRELATION, "WWW-Authenticate": {"schema": {"type": "string"}}},
                    },
                    "403": REFUSAL,
                    "503": {**REFUSAL, "headers": {**CORRELATION, "Retry-After": {"schema": {"type": "integer"}}}},
                    "default": REFUSAL,
                },
            }
        }
    },
    "components": {"securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}}},
}


def operation(document: Any) -> Any:
    """The operation of the conforming document."""
    return document["paths"]["/api/v1/loose-stones/{stone_id}"]["post"]


def body(document: Any) -> Any:
    """The schema of its request."""
    return operation(document)["requestBody"]["content"]["application/json"]["schema"]


def answer(document: Any, status: str = "201") -> Any:
    return operation(document)["responses"][status]


def content(document: Any) -> Any:
    return answer(document)["content"]["application/json"]


def move(document: Any, path: str) -> None:
    """Give the operation another path."""
    document["paths"] = {path: document["paths"].popitem()[1]}


VIOLATIONS: list[tuple[str, Callable[[Any], object]]] = [
    ("openapi-3-1", lambda it: it.update(openapi="3.0.3")),
    ("no-nullable", lambda it: content(it)["schema"]["properties"]["turned_at"].update(nullable=True)),
    ("operation-id", lambda it: operation(it).update(operationId="turnStone")),
    ("operation-id", lambda it: operation(it).pop("operationId")),
    ("operation-description", lambda it: operation(it).update(description="")),
    ("operation-description", lambda it: operation(it).pop("description")),
    ("operation-tag", lambda it: operation(it).update(tags=["stones", "pebbles"])),
    ("operation-tag", lambda it: operation(it).pop("tags")),
    ("operation-security", lambda it: operation(it).pop("security")),
    ("operation-security", lambda it: operation(it).update(security=[{}])),
    ("paths-kebab-case", lambda it: move(it, "/api/v1/looseStones/{stone_id}")),
    ("paths-kebab-case", lambda it: move(it, "/api/v1/loose-stones/{stone_id}/")),
    ("paths-kebab-case", lambda it: move(it, "/api/v1/loose-stones/{stoneId}")),
    ("paths-versioned", lambda it: move(it, "/api/loose-stones/{stone_id}")),
    ("properties-snake-case", lambda it: body(it)["properties"].update(bothSides={"type": "boolean"})),
    (
        "properties-snake-case",
        lambda it: content(it)["schema"]["properties"].update({"turned-at": {"type": "boolean"}}),
    ),
    ("closed-bodies", lambda it: body(it).pop("additionalProperties")),
    ("closed-bodies", lambda it: body(it)["properties"].update(side={"type": ["object", "null"]})),
    ("bounded-integers", lambda it: body(it)["properties"]["turns"].pop("maximum")),
    ("bounded-integers", lambda it: content(it)["schema"]["properties"].update(weight={"type": "integer"})),
    ("bounded-strings", lambda it: body(it)["properties"]["reason"].pop("maxLength")),
    ("bounded-strings", lambda it: operation(it)["parameters"][0]["schema"].pop("format")),
    ("bounded-arrays", lambda it: body(it)["properties"]["sides"].pop("maxItems")),
    ("typed-arrays", lambda it: content(it)["schema"]["properties"].update(turns={"type": "array"})),
    ("examples", lambda it: content(it).pop("example")),
    ("examples", lambda it: operation(it)["requestBody"]["content"]["application/json"].pop("example")),
    ("answer-description", lambda it: answer(it).update(description="")),
    ("problems", lambda it: answer(it, "503")["content"].update({"text/html": {}})),
    ("problems", lambda it: answer(it, "default").pop("content")),
    ("problems", lambda it: answer(it, "403").update(content={"application/json": {"schema": {"type": "object"}}})),
    ("unforeseen-errors", lambda it: operation(it)["responses"].pop("default")),
    ("refusals-of-callers", lambda it: operation(it)["responses"].pop("401")),
    ("refusals-of-callers", lambda it: operation(it)["responses"].pop("403")),
    ("correlation-id", lambda it: answer(it)["headers"].pop("X-Correlation-ID")),
    ("correlation-id", lambda it: answer(it, "default").pop("headers")),
    ("location", lambda it: answer(it)["headers"].pop("Location")),
    ("retry-after", lambda it: answer(it, "503")["headers"].pop("Retry-After")),
    ("challenge", lambda it: answer(it, "401")["headers"].pop("WWW-Authenticate")),
    ("sunset", lambda it: operation(it).update(deprecated=True)),
]


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Finding]]:
    """What the linter finds in the conforming document and in each violation, by the document's name."""
    cases = {"conforming": CONFORMING}
    for index, (_, violate) in enumerate(VIOLATIONS):
        cases[f"case-{index}"] = violated = copy.deepcopy(CONFORMING)
        violate(violated)
    found = lint(cases, tmp_path_factory.mktemp("violations"))
    return {name: [each for each in found if each.document == name] for name in cases}


class TestTheLinter:
    def test_accepts_every_document(self, tmp_path: Path) -> None:
        assert "\n".join(map(str, lint(documents(), tmp_path))) == ""

    def test_accepts_a_conforming_document(self, findings: dict[str, list[Finding]]) -> None:
        assert findings["conforming"] == []

    @pytest.mark.parametrize(("index", "rule"), [(index, rule) for index, (rule, _) in enumerate(VIOLATIONS)])
    def test_refuses_a_violation_by_its_rule_alone(
        self, findings: dict[str, list[Finding]], index: int, rule: str
    ) -> None:
        assert {each.rule for each in findings[f"case-{index}"]} == {rule}

    def test_has_a_violation_for_every_rule(self) -> None:
        assert {rule for rule, _ in VIOLATIONS} == set(RULES)

    def test_has_only_rules_with_a_reason_that_fail(self) -> None:
        assert all(rule["description"] and rule["severity"] == "error" for rule in RULES.values())

    def test_reads_what_is_rendered(self) -> None:
        rendered = yaml.safe_load((node.FOLDER.parent.parent / "docs" / "openapi.yaml").read_text())
        assert rendered == documents()["whole"]
