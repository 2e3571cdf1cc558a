"""The engine, by what it finds: in both directions, through references, in schemas that are written in another way."""

from typing import Any

import pytest

from pangaea.schemas.compatibility.comparing import compare
from pangaea.schemas.compatibility.findings import Direction, Finding, Severity

TEXT = {"type": "string"}
ORDER = {"type": "object", "properties": {"id": TEXT, "note": TEXT}, "required": ["id"]}


def rules(old: Any, new: Any, direction: Direction = Direction.RESPONSE, **documents: Any) -> list[str]:
    return [each.rule for each in compare(old, new, direction=direction, **documents)]


def thing(**members: Any) -> dict[str, Any]:
    return {"type": "object", "properties": members}


class TestADirection:
    def test_of_what_is_read_may_widen(self) -> None:
        short, long = {**TEXT, "maxLength": 5}, {**TEXT, "maxLength": 9}
        for direction in (Direction.REQUEST, Direction.COMMAND):
            assert rules(short, long, direction) == []
            assert rules(long, short, direction) == [f"{direction.word}-body-max-length-decreased"]

    def test_of_what_is_written_may_narrow(self) -> None:
        short, long = {**TEXT, "maxLength": 5}, {**TEXT, "maxLength": 9}
        for direction in (Direction.RESPONSE, Direction.EVENT):
            assert rules(long, short, direction) == []
            assert rules(short, long, direction) == [f"{direction.word}-body-max-length-increased"]

    @pytest.mark.parametrize(
        ("direction", "rule", "broken"),
        [
            (Direction.EVENT, "event-required-property-removed", "subscribers that read it as before"),
            (Direction.RESPONSE, "response-required-property-removed", "clients that read it as before"),
        ],
    )
    def test_names_who_breaks(self, direction: Direction, rule: str, broken: str) -> None:
        [found] = compare(ORDER, thing(note=TEXT), direction=direction)
        assert found == Finding("$.id", rule, "it is missing, and was always there", broken)
        assert str(found) == f"error [{rule}] $.id: it is missing, and was always there. It breaks {broken}."

    def test_lets_an_answer_gain_members_even_where_it_was_closed(self) -> None:
        closed = {**ORDER, "additionalProperties": False}
        more = {**closed, "properties": {**ORDER["properties"], "more": TEXT}}  # type: ignore[dict-item] # a literal
        assert rules(closed, more) == []
        assert rules(closed, more, Direction.EVENT) == []
        assert rules(more, closed, Direction.REQUEST) == ["request-property-removed"]

    def test_warns_of_a_value_more_in_an_answer(self) -> None:
        old, new = ({**TEXT, "enum": values} for values in (["a"], ["a", "b"]))
        [found] = compare(old, new, direction=Direction.RESPONSE)
        assert (found.rule, found.severity) == ("response-body-enum-value-added", Severity.WARNING)


class TestAReference:
    def test_is_followed_in_its_own_document(self) -> None:
        documents: dict[str, Any] = {
            f"{name}_document": {"components": {"schemas": {"Order": {**ORDER, "required": required}}}}
            for name, required in (("old", ["id"]), ("new", []))
        }
        reference = {"$ref": "#/components/schemas/Order"}
        found = compare(
            {"type": "array", "items": reference},
            {"type": "array", "items": reference},
            direction=Direction.RESPONSE,
            **documents,
        )
        assert [(each.rule, each.path) for each in found] == [("response-property-became-optional", "$[*].id")]

    def test_may_lead_back_to_itself(self) -> None:
        def tree(leaf: Any) -> Any:
            node = {"type": "object", "properties": {"leaf": leaf, "next": {"$ref": "#/$defs/node"}}}
            return {"$ref": "#/$defs/node", "$defs": {"node": node}}

        assert rules(tree(TEXT), tree(TEXT)) == []
        assert rules(tree(TEXT), tree({"type": "integer"})) == ["response-property-type-changed"]

    def test_that_leads_nowhere_is_refused(self) -> None:
        with pytest.raises(LookupError):
            compare({"$ref": "#/missing"}, TEXT, direction=Direction.RESPONSE)
        with pytest.raises(LookupError, match="leads out of the document"):
            compare({"$ref": "other.json"}, TEXT, direction=Direction.RESPONSE)


class TestASchema:
    @pytest.mark.parametrize(
        "written",
        [
            {"type": ["string", "null"]},
            {"type": "string", "nullable": True},
            {"anyOf": [TEXT, {"type": "null"}]},
            {"oneOf": [{"type": "null"}, TEXT]},
            {"allOf": [TEXT], "nullable": True},
        ],
    )
    def test_may_be_written_in_another_way(self, written: Any) -> None:
        for direction in Direction:
            assert rules({"type": ["string", "null"]}, written, direction) == []
            assert rules(written, {"type": ["string", "null"]}, direction) == []
        assert rules(TEXT, written) == ["response-body-became-nullable"]
        assert rules(written, TEXT, Direction.REQUEST) == ["request-body-became-not-nullable"]

    def test_may_have_members_named_like_keywords(self) -> None:
        for name in ("description", "example", "title", "x-more"):
            assert rules(thing(**{name: TEXT}), thing(**{name: {"type": "integer"}})) == [
                "response-property-type-changed"
            ]

    def test_of_a_listed_value_needs_no_other_limit(self) -> None:
        assert rules({**TEXT, "maxLength": 5}, {**TEXT, "enum": ["a", "b"]}) == []
        assert rules({**TEXT, "maxLength": 5}, {**TEXT, "enum": ["a", "bbbbbb"]}) == ["response-body-max-length-unset"]

    def test_with_forms_that_overlap_is_doubted(self) -> None:
        old, new = ({"anyOf": [{"type": "array"}, {"oneOf": [each, {"type": "null"}]}]} for each in (TEXT, {}))
        [found] = compare(old, new, direction=Direction.REQUEST)
        assert (found.rule, found.severity) == ("request-body-one-of-overlapping", Severity.WARNING)

    def test_of_a_map_is_read_whole(self) -> None:
        old, new = ({"type": "object", "additionalProperties": {"type": name}} for name in ("integer", "string"))
        [found] = compare(old, new, direction=Direction.RESPONSE)
        assert (found.rule, found.path) == ("response-property-type-changed", "$.*")

    def test_with_an_unknown_keyword_that_changed_is_not_compatible(self) -> None:
        for direction in Direction:
            assert rules({"$dynamicRef": "#a"}, {"$dynamicRef": "#b"}, direction) == [
                f"{direction.word}-body-keyword-changed"
            ]
