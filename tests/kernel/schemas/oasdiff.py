"""A case per rule of oasdiff's list (github.com/oasdiff/oasdiff, checker/rules.go, 2026), with that tool's verdict.

A case is two documents that differ in one thing. `level` is oasdiff's: `err` and `warn` break, `info` fits.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Level = Literal["err", "warn", "info"]
Effect = Literal["narrows", "widens", "both"]
Json = Mapping[str, Any]

PLACES = {
    "request-body": "request",
    "request-property": "request",
    "request-parameter": "request",
    "request-parameter-property": "request",
    "response-body": "response",
    "response-property": "response",
    "response-header": "response",
}
LEVELS: dict[tuple[str, str], Level] = {
    ("request", "narrows"): "err",
    ("request", "widens"): "info",
    ("request", "both"): "err",
    ("response", "narrows"): "info",
    ("response", "widens"): "err",
    ("response", "both"): "err",
}


@dataclass(frozen=True, kw_only=True)
class Case:
    """`ours` is our rule, where its id is another one; `differs` the reason of a verdict that is another one."""

    id: str
    level: Level
    old: Json
    new: Json
    ours: str = ""
    differs: str = ""

    @property
    def breaks(self) -> bool:
        """Our verdict."""
        return (self.level != "info") is not bool(self.differs)


def operation(**members: Any) -> dict[str, Any]:
    """An operation that answers 200 with nothing, and has these members."""
    return {"operationId": "things_do", "responses": {"200": {"description": ""}}, **members}


def document(*, method: str = "post", path: str = "/api/v1/things", root: Json | None = None, **members: Any) -> Json:
    """A document with one operation that has these members; `root` are members of the document."""
    return {"openapi": "3.1.1", "paths": {path: {method: operation(**members)}}, **(root or {})}


def holding(schema: Any, place: str) -> Json:
    """A document that has a schema at that place."""
    nested = {"type": "object", "properties": {"x": schema}}
    match place:
        case "request-body" | "request-property":
            body = schema if place == "request-body" else nested
            return document(requestBody={"content": {"application/json": {"schema": body}}})
        case "request-parameter" | "request-parameter-property":
            held = schema if place == "request-parameter" else nested
            return document(parameters=[{"name": "q", "in": "query", "schema": held}])
        case "response-body" | "response-property":
            body = schema if place == "response-body" else nested
            return document(responses={"200": {"content": {"application/json": {"schema": body}}}})
    return document(responses={"200": {"headers": {"X-Thing": {"schema": schema}}}})


def changed(
    name: str,
    effect: Effect,
    old: Any,
    new: Any,
    *places: str,
    level: Level | None = None,
    ours: str = "",
    differs: str = "",
) -> Iterator[Case]:
    """A case per place. `ours` replaces the name in our rule's id, or is the whole id where it has a `{}` or none."""
    for place in places:
        rule = (ours if "-property" in ours or "{}" in ours else f"{place}-{ours}") if ours else ""
        yield Case(
            id=f"{place}-{name}",
            level=level or LEVELS[PLACES[place], effect],
            old=holding(old, place),
            new=holding(new, place),
            ours=rule.format(PLACES[place]),
            differs=differs,
        )


BODIES = ("request-body", "request-property", "response-body", "response-property")
SENT = ("request-body", "request-property", "request-parameter")
READ = ("response-body", "response-property")
TEXT: Json = {"type": "string"}
NUMBER: Json = {"type": "integer"}
LIST: Json = {"type": "array", "items": TEXT}
OBJECT: Json = {"type": "object", "properties": {"a": TEXT, "b": TEXT}}
OTHER: Json = {"type": "object", "properties": {"kind": {"const": "other"}}, "required": ["kind"]}
FORM: Json = {"type": "object", "properties": {"kind": {"const": "form"}}, "required": ["kind"]}

BOUNDS: tuple[tuple[str, str, Json, bool], ...] = (
    ("max", "maximum", NUMBER, True),
    ("min", "minimum", NUMBER, False),
    ("exclusive-max", "exclusiveMaximum", NUMBER, True),
    ("exclusive-min", "exclusiveMinimum", NUMBER, False),
    ("max-length", "maxLength", TEXT, True),
    ("min-length", "minLength", TEXT, False),
    ("max-items", "maxItems", LIST, True),
    ("min-items", "minItems", LIST, False),
    ("max-properties", "maxProperties", OBJECT, True),
    ("min-properties", "minProperties", OBJECT, False),
)
"""Name in ids, keyword, a schema that may have it, whether it is an upper bound."""
CONTAINS = {"type": "array", "contains": NUMBER}
WHOLE: tuple[tuple[str, Json, Json], ...] = (
    ("if", TEXT, {**TEXT, "if": {"minLength": 3}}),
    ("then", {**TEXT, "if": {"minLength": 3}}, {**TEXT, "if": {"minLength": 3}, "then": {"pattern": "a"}}),
    ("else", {**TEXT, "if": {"minLength": 3}}, {**TEXT, "if": {"minLength": 3}, "else": {"pattern": "a"}}),
    ("contains", {"type": "array"}, CONTAINS),
    ("dependent-required", OBJECT, {**OBJECT, "dependentRequired": {"a": ["b"]}}),
    ("dependent-schema", OBJECT, {**OBJECT, "dependentSchemas": {"a": {"required": ["b"]}}}),
    ("pattern-property", OBJECT, {**OBJECT, "patternProperties": {"^n_": NUMBER}}),
    ("property-names", OBJECT, {**OBJECT, "propertyNames": {"maxLength": 9}}),
    ("unevaluated-items", LIST, {**LIST, "unevaluatedItems": False}),
    ("content-schema", TEXT, {**TEXT, "contentSchema": NUMBER}),
)
"""Keywords that are added and removed as a whole."""


def bounds() -> Iterator[Case]:
    for name, keyword, base, is_upper in BOUNDS:
        loose, tight = {**base, keyword: 20 if is_upper else 2}, {**base, keyword: 10 if is_upper else 3}
        yield from changed(f"{name}-set", "narrows", base, tight, *SENT, *READ, "response-header")
        yield from changed(f"{name}-unset", "widens", tight, base, *SENT, *READ, "response-header")
        tighter, looser = ("decreased", "increased") if is_upper else ("increased", "decreased")
        yield from changed(f"{name}-{tighter}", "narrows", loose, tight, *SENT)
        yield from changed(f"{name}-{looser}", "widens", tight, loose, *SENT, *READ)
    for name, keyword in (("min-contains", "minContains"), ("max-contains", "maxContains")):
        base, low, high = CONTAINS, {**CONTAINS, keyword: 2}, {**CONTAINS, keyword: 3}
        grows: Effect = "narrows" if name == "min-contains" else "widens"
        falls: Effect = "widens" if name == "min-contains" else "narrows"
        yield from changed(f"{name}-increased", grows, low, high, *BODIES)
        yield from changed(f"{name}-decreased", falls, high, low, *BODIES)
        word = {"min-contains": ("increased", "decreased"), "max-contains": ("decreased", "increased")}[name]
        yield from changed(f"{name}-set", "narrows", base, low, *SENT, *READ, ours=f"{name}-{word[0]}")
        yield from changed(f"{name}-unset", "widens", low, base, *SENT, *READ, ours=f"{name}-{word[1]}")


def multiples() -> Iterator[Case]:
    two, three, four = ({**NUMBER, "multipleOf": each} for each in (2, 3, 4))
    yield from changed("multiple-of-set", "narrows", NUMBER, two, *SENT, *READ, "response-header")
    yield from changed("multiple-of-unset", "widens", two, NUMBER, *SENT, *READ, "response-header")
    yield from changed("multiple-of-changed", "both", two, three, *BODIES)
    yield from changed("multiple-of-generalized", "widens", four, two, "request-body", "request-property")
    yield from changed("multiple-of-specialized", "narrows", two, four, *READ)
    unique = {**LIST, "uniqueItems": True}
    yield from changed("unique-items-set", "narrows", LIST, unique, "request-body", "request-property")
    yield from changed("unique-items-unset", "widens", unique, LIST, *BODIES)


def wholes() -> Iterator[Case]:
    for name, without, restricted in WHOLE:
        yield from changed(f"{name}-added", "narrows", without, restricted, *BODIES)
        yield from changed(f"{name}-removed", "widens", restricted, without, *BODIES)
    before = {**OBJECT, "dependentRequired": {"a": ["b"]}}
    yield from changed(
        "dependent-required-changed", "both", before, {**before, "dependentRequired": {"a": ["c"]}}, *BODIES
    )
    for name, keyword in (("content-media-type", "contentMediaType"), ("content-encoding", "contentEncoding")):
        yield from changed(f"{name}-changed", "both", {**TEXT, keyword: "one"}, {**TEXT, keyword: "two"}, *BODIES)
    closed = {**OBJECT, "unevaluatedProperties": False}
    closes = "additional-properties-forbidden"
    yield from changed("unevaluated-properties-added", "narrows", OBJECT, closed, *BODIES, ours=closes)
    yield from changed("unevaluated-properties-removed", "widens", closed, OBJECT, "request-body", "request-property")
    yield from changed("unevaluated-properties-removed", "widens", closed, OBJECT, *READ, differs=TOLERANT)


TOLERANT = "readers ignore members that they do not know, also where the schema closes the object"
