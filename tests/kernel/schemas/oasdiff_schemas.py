"""Cases of values, types, structure and members."""

from collections.abc import Iterator
from typing import Any

from tests.kernel.schemas.oasdiff import (
    BODIES,
    FORM,
    LIST,
    NUMBER,
    OBJECT,
    OTHER,
    READ,
    SENT,
    TEXT,
    TOLERANT,
    Case,
    Json,
    changed,
    holding,
)

NULLABLE: Json = {"type": ["string", "null"]}
FLOAT: Json = {"type": "number"}
A: Json = {"type": "string", "enum": ["a"]}
AB: Json = {"type": "string", "enum": ["a", "b"]}
ALL_REQUEST = (*SENT, "request-parameter-property")
NEEDS = {"type": "object", "properties": {"n": TEXT}, "required": ["n"]}
MARKS = {"readOnly": "read-only", "writeOnly": "write-only"}


def values() -> Iterator[Case]:
    yield from changed("became-enum", "narrows", TEXT, A, *SENT)
    yield from changed("became-not-enum", "widens", A, TEXT, "request-body", "request-parameter")
    yield from changed("enum-value-removed", "narrows", AB, A, *ALL_REQUEST, "response-property")
    yield from changed("enum-value-added", "widens", A, AB, *ALL_REQUEST)
    yield from changed("enum-value-added", "widens", A, AB, "response-property", level="warn")
    media = holding(AB, "response-body"), holding(A, "response-body")
    yield Case(id="response-mediatype-enum-value-removed", level="info", old=media[0], new=media[1])
    const, other = {"type": "string", "const": "a"}, {"type": "string", "const": "b"}
    yield from changed("const-added", "narrows", TEXT, const, *BODIES)
    yield from changed("const-removed", "widens", const, TEXT, *BODIES)
    yield from changed("const-changed", "both", const, other, *BODIES)
    for name in ("added", "changed", "removed"):
        old: Json = TEXT if name == "added" else {**TEXT, "default": "a"}
        new: Json = TEXT if name == "removed" else {**TEXT, "default": "b"}
        yield from changed(f"default-value-{name}", "widens", old, new, *SENT)
        yield from changed(f"default-value-{name}", "narrows", old, new, *READ)
    more, fewer = ({**TEXT, "x-extensible-enum": each} for each in (["a", "b"], ["a"]))
    lost = "x-extensible-enum-value-removed"
    yield from changed(lost, "narrows", more, fewer, "request-property", "request-parameter")
    header = holding({"type": "object", "properties": {"x": TEXT}}, "request-parameter")
    restricted = holding({"type": "object", "properties": {"x": A}}, "request-parameter")
    ours = "request-parameter-property-became-enum"
    yield Case(id="request-header-property-became-enum", level="err", old=header, new=restricted, ours=ours)


def types() -> Iterator[Case]:
    for place in (*ALL_REQUEST, *READ, "response-header"):
        yield from changed("became-nullable", "widens", TEXT, NULLABLE, place)
        yield from changed("became-not-nullable", "narrows", NULLABLE, TEXT, place)
        warned = place == "request-parameter-property"
        yield from changed("type-changed", "both", TEXT, NUMBER, place, level="warn" if warned else None)
        yield from changed("type-generalized", "widens", NUMBER, FLOAT, place)
    yield from changed("type-specialized", "narrows", FLOAT, NUMBER, "request-parameter-property", *READ)
    yield from changed("type-specialized", "narrows", FLOAT, NUMBER, "response-header")
    several, fewer = {"type": ["string", "integer", "boolean"]}, {"type": ["string", "integer"]}
    for place in (*ALL_REQUEST, *READ):
        yield from changed("list-of-types-widened", "widens", fewer, several, place)
        yield from changed("list-of-types-narrowed", "narrows", several, fewer, place)
    patterned, other, any_text = ({**TEXT, "pattern": each} for each in ("^a", "^b", ".*"))
    for place in ("request-property", "request-parameter"):
        yield from changed("pattern-added", "narrows", TEXT, patterned, place)
        yield from changed("pattern-removed", "widens", patterned, TEXT, place)
        yield from changed("pattern-changed", "both", patterned, other, place, level="warn")
        yield from changed("pattern-generalized", "widens", patterned, any_text, place)
    yield from changed("pattern-added", "narrows", TEXT, patterned, "response-property")
    yield from changed("pattern-removed", "widens", patterned, TEXT, "response-property")
    yield from changed("pattern-changed", "both", patterned, other, "response-property", level="warn")


def structure() -> Iterator[Case]:
    parted, annotated = ({"allOf": [OBJECT, each]} for each in ({"required": ["a"]}, {"description": "a thing"}))
    whole: Json = {"allOf": [OBJECT]}
    required = {"request": "{}-property-became-required", "response": "{}-property-became-optional"}
    for place in BODIES:
        ours = required[place.split("-")[0]]
        yield from changed("all-of-added", "narrows", whole, parted, place, ours=ours)
        yield from changed("all-of-removed", "widens", parted, whole, place, ours=ours)
        yield from changed("all-of-added-annotation-only", "widens", whole, annotated, place, level="info")
        yield from changed("all-of-removed-annotation-only", "widens", annotated, whole, place, level="info")
    for keyword, name in (("oneOf", "one-of"), ("anyOf", "any-of")):
        one, two = {keyword: [FORM, NUMBER]}, {keyword: [FORM, NUMBER, OTHER]}
        yield from changed(f"{name}-added", "widens", one, two, *BODIES)
        yield from changed(f"{name}-removed", "narrows", two, one, *BODIES)
    wrapped = {"oneOf": [FORM, OTHER]}
    disjoint = "a request that was accepted still is: the forms are disjoint, and the old one is among them"
    yield from changed("wrapped-in-one-of", "both", FORM, wrapped, "request-body", differs=disjoint)
    yield from changed("wrapped-in-one-of", "both", FORM, wrapped, "response-body", ours="one-of-added")
    forms = {"oneOf": [FORM, OTHER]}
    plain = {**forms, "discriminator": {"propertyName": "kind", "mapping": {"form": "#/a"}}}
    renamed = {**forms, "discriminator": {"propertyName": "sort", "mapping": {"form": "#/a"}}}
    mapped = {**forms, "discriminator": {"propertyName": "kind", "mapping": {"form": "#/a", "other": "#/b"}}}
    moved = {**forms, "discriminator": {"propertyName": "kind", "mapping": {"form": "#/b"}}}
    for name, old, new in (
        ("discriminator-added", forms, plain),
        ("discriminator-removed", plain, forms),
        ("discriminator-property-name-changed", plain, renamed),
        ("discriminator-mapping-added", plain, mapped),
        ("discriminator-mapping-deleted", mapped, plain),
        ("discriminator-mapping-changed", plain, moved),
    ):
        yield from changed(name, "widens", old, new, *BODIES, level="info")
    yield from positions()


def positions() -> Iterator[Case]:
    first = {"type": "array", "prefixItems": [TEXT]}
    second = {"type": "array", "prefixItems": [TEXT, NUMBER]}
    ours = "list-of-types-narrowed"
    narrows = "the item at that position could be anything before, and anything but that is refused"
    widens = "the item at that position may be anything, and was of one kind"
    for place, nested in (("request-body", "request-property"), ("request-property", "request-property")):
        rule = f"{nested}-{ours}"
        yield from changed("prefix-items-added", "widens", first, second, place, ours=rule, differs=narrows)
        yield from changed("prefix-items-removed", "narrows", second, first, place, differs=OPEN)
    for place in READ:
        yield from changed("prefix-items-added", "widens", first, second, place, differs=SHORTER)
        rule = "response-property-list-of-types-widened"
        yield from changed("prefix-items-removed", "narrows", second, first, place, ours=rule, differs=widens)


OPEN = "any item is accepted at that position then, the former ones too"
SHORTER = "the item at that position could be anything before, and comes narrower than announced"


def members() -> Iterator[Case]:
    needed = {**OBJECT, "required": ["a"]}
    for place in ("request-body", "response-body"):
        direction = place.split("-")[0]
        for name, old, new in (("became-required", OBJECT, needed), ("became-optional", needed, OBJECT)):
            pair = holding(old, place), holding(new, place)
            breaks = (direction == "request") is (name == "became-required")
            yield Case(id=f"{direction}-property-{name}", level="err" if breaks else "info", old=pair[0], new=pair[1])
    default = {"type": "object", "properties": {"a": {**TEXT, "default": "x"}}}
    yield body(
        "request-property-became-required-with-default",
        "err",
        default,
        {**default, "required": ["a"]},
        ours="request-property-became-required",
    )
    empty: Json = {"type": "object", "properties": {}}
    yield body("request-property-removed", "warn", OBJECT, {**OBJECT, "properties": {"a": TEXT}})
    yield body("new-required-request-property", "err", empty, NEEDS)
    with_default = {**NEEDS, "properties": {"n": {**TEXT, "default": "x"}}}
    ours = "new-required-request-property"
    yield body("new-required-request-property-with-default", "err", empty, with_default, ours=ours)
    yield body("new-optional-request-property", "info", empty, OBJECT)
    yield body("response-required-property-removed", "err", NEEDS, empty)
    yield body("response-required-property-added", "info", empty, NEEDS)
    yield body("response-optional-property-removed", "info", OBJECT, empty)
    yield body("response-optional-property-added", "info", empty, OBJECT)
    param = [holding(each, "request-parameter") for each in (empty, NEEDS)]
    yield Case(id="new-required-request-header-property", level="err", old=param[0], new=param[1], ours=ours)
    optional = holding({**NEEDS, "required": []}, "request-parameter")
    ours = "request-property-became-required"
    yield Case(id="request-header-property-became-required", level="err", old=optional, new=param[1], ours=ours)
    yield from marked()


def body(rule: str, level: Any, old: Json, new: Json, *, ours: str = "", differs: str = "") -> Case:
    place = "request-body" if "request" in rule else "response-body"
    return Case(id=rule, level=level, old=holding(old, place), new=holding(new, place), ours=ours, differs=differs)


def marked() -> Iterator[Case]:
    """`readOnly` members are not part of a request, `writeOnly` ones not of an answer."""

    def of(mark: str, *, required: bool, **schema: Any) -> Json:
        marks = {mark: True} if mark else {}
        return {
            "type": "object",
            "properties": {"n": {**TEXT, **schema, **marks}},
            "required": ["n"] if required else [],
        }

    limits: tuple[tuple[str, dict[str, Any], dict[str, Any]], ...] = (
        ("enum-value-removed", {"enum": ["a", "b"]}, {"enum": ["a"]}),
        ("max-length-decreased", {"maxLength": 9}, {"maxLength": 5}),
        ("max-decreased", {"type": "integer", "maximum": 9}, {"type": "integer", "maximum": 5}),
        ("min-increased", {"type": "integer", "minimum": 1}, {"type": "integer", "minimum": 5}),
        ("exclusive-max-decreased", {**NUMBER, "exclusiveMaximum": 9}, {**NUMBER, "exclusiveMaximum": 5}),
        ("exclusive-min-increased", {**NUMBER, "exclusiveMinimum": 1}, {**NUMBER, "exclusiveMinimum": 5}),
        ("max-items-decreased", {**LIST, "maxItems": 9}, {**LIST, "maxItems": 5}),
        ("max-properties-decreased", {**OBJECT, "maxProperties": 9}, {**OBJECT, "maxProperties": 5}),
    )
    for name, old, new in limits:
        pair = of("readOnly", required=False, **old), of("readOnly", required=False, **new)
        yield body(f"request-read-only-property-{name}", "info", *pair)
    pair = of("writeOnly", required=False, enum=["a"]), of("writeOnly", required=False, enum=["a", "b"])
    yield body("response-write-only-property-enum-value-added", "info", *pair)
    empty: Json = {"type": "object", "properties": {}}
    for kind, required in (("required", True), ("optional", False)):
        hidden = of("writeOnly", required=required)
        yield body(f"response-{kind}-write-only-property-removed", "info", hidden, empty)
        yield body(f"response-{kind}-write-only-property-added", "info", empty, hidden)
        name = f"response-write-only-property-became-{kind}"
        yield body(name, "info", of("writeOnly", required=not required), of("writeOnly", required=required))
        yield from _marks_changed(kind, of("", required=required), of, required=required)


def _marks_changed(kind: str, plain: Json, of: Any, *, required: bool) -> Iterator[Case]:
    for direction, unsent in (("request", "readOnly"), ("response", "writeOnly")):
        for mark, word in MARKS.items():
            marked_one = of(mark, required=required)
            became, lost = (
                f"{direction}-{kind}-property-became-{word}",
                f"{direction}-{kind}-property-became-non-{word}",
            )
            if mark != unsent:
                yield body(became, "info", plain, marked_one)
                yield body(lost, "info", marked_one, plain)
            elif direction == "request":
                why = "it is no longer read: without `additionalProperties: false` a warning, else an error"
                yield body(became, "info", plain, marked_one, ours="request-property-removed", differs=why)
                why = "clients did not send it, and it is required" if required else ""
                rule = "new-required-request-property"
                yield body(lost, "info", marked_one, plain, ours=rule if required else "", differs=why)
            else:
                why = "it is no longer sent, and was always there" if required else ""
                rule = "response-required-property-removed"
                yield body(became, "info", plain, marked_one, ours=rule if required else "", differs=why)
                level = "warn" if required else "info"
                yield body(
                    lost,
                    level,
                    marked_one,
                    plain,
                    differs=f"an answer may gain members: {TOLERANT}" if required else "",
                )
