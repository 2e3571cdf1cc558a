"""Types, values, formats and limits."""

import re
from collections.abc import Mapping
from typing import Any

from pangaea.schemas.compatibility.findings import Effect, Severity
from pangaea.schemas.compatibility.normal import EXTENSIBLE_ENUM, LOWER
from pangaea.schemas.compatibility.shapes import (
    Plain,
    canonical,
    declared_types,
    enumerated,
    type_names,
    type_of,
    types,
)
from pangaea.schemas.compatibility.walk import Pair, Walk

NUMBERS = frozenset({"integer", "fraction"})
LIMITS: Mapping[str, tuple[str, frozenset[str]]] = {
    "maxLength": ("max-length", frozenset({"string"})),
    "minLength": ("min-length", frozenset({"string"})),
    "maximum": ("max", NUMBERS),
    "minimum": ("min", NUMBERS),
    "exclusiveMaximum": ("exclusive-max", NUMBERS),
    "exclusiveMinimum": ("exclusive-min", NUMBERS),
    "maxItems": ("max-items", frozenset({"array"})),
    "minItems": ("min-items", frozenset({"array"})),
    "maxProperties": ("max-properties", frozenset({"object"})),
    "minProperties": ("min-properties", frozenset({"object"})),
}
"""Keywords that bound a value, with their names in the ids of rules and the kinds that they apply to."""
FROM_ZERO = frozenset({"minLength", "minItems", "minProperties"})
"""Limits that do nothing at 0."""
WIDER: Mapping[str, frozenset[str]] = {
    "int32": frozenset({"int64"}),
    "float": frozenset({"double"}),
    "email": frozenset({"idn-email"}),
    "hostname": frozenset({"idn-hostname"}),
    "uri": frozenset({"uri-reference", "iri", "iri-reference"}),
    "uri-reference": frozenset({"iri-reference"}),
    "iri": frozenset({"iri-reference"}),
}
"""Formats whose values another format accepts too."""
ANY_TEXT = frozenset({"", "^", ".*", "^.*", "^.*$", "[\\s\\S]*", "^[\\s\\S]*$"})
"""Patterns that every text matches; line breaks count as text."""


def compare(walk: Walk, pair: Pair) -> frozenset[str]:
    """Report the changes. Returns the kinds that both accept: what remains is compared for these alone."""
    _types(walk, pair)
    shared = declared_types(pair.old) & declared_types(pair.new)
    _values(walk, pair)
    if not _is_settled_by_values(walk, pair):
        for keyword, (name, kinds) in LIMITS.items():
            if kinds & shared:
                _limit(walk, keyword, name, pair)
        if "string" in shared:
            _pattern(walk, pair)
        if NUMBERS & shared:
            _multiple(walk, pair)
        if shared - {"null"}:
            _format(walk, pair)
    return shared


def _types(walk: Walk, pair: Pair) -> None:
    old, new, path = pair
    before, after = declared_types(old), declared_types(new)
    is_null_alone = before - {"null"} == after - {"null"}
    # `enum` may exclude a null that `type` accepts.
    if "null" in types(new) - types(old) and (is_null_alone or "null" in before):
        walk.report("became-nullable", Effect.WIDENS, "it may be null, and was never null", path)
    elif "null" in types(old) - types(new) and (is_null_alone or "null" in after):
        walk.report("became-not-nullable", Effect.NARROWS, "it must not be null, and might be null", path)
    if is_null_alone:
        return
    what = f"the type is {' or '.join(type_names(after))}, and was {' or '.join(type_names(before))}"
    several = min(before, after, key=len) - NUMBERS or max(before, after, key=len) - NUMBERS
    if before - after and after - before:
        walk.report("type-changed", Effect.BOTH, what, path)
    elif before - after:
        walk.report("list-of-types-narrowed" if several else "type-specialized", Effect.NARROWS, what, path)
    else:
        walk.report("list-of-types-widened" if several else "type-generalized", Effect.WIDENS, what, path)


def _values(walk: Walk, pair: Pair) -> None:
    old, new, path = pair
    before, after = enumerated(old), enumerated(new)
    kind = "const" if all("const" in each for each in (old, new) if enumerated(each) is not None) else "enum"
    if before is None and after is not None:
        name = "const-added" if kind == "const" else "became-enum"
        walk.report(name, Effect.NARROWS, f"only {_listed(after)} are accepted, and any value was", path)
    elif before is not None and after is None:
        name = "const-removed" if kind == "const" else "became-not-enum"
        walk.report(name, Effect.WIDENS, f"any value may come, and only {_listed(before)} did", path)
    elif before is not None and after is not None:
        _value_changes(walk, kind, before, after, path)
    texts = [{canonical(value) for value in each.get(EXTENSIBLE_ENUM, ())} for each in (old, new)]
    if EXTENSIBLE_ENUM in new and (lost := sorted(texts[0] - texts[1])):
        what = f"{', '.join(lost)} is no longer among the known values"
        walk.report("x-extensible-enum-value-removed", Effect.NARROWS, what, path)


def _value_changes(walk: Walk, kind: str, before: list[Any], after: list[Any], path: str) -> None:
    first, second = ({canonical(value) for value in each} - {"null"} for each in (before, after))
    if kind == "const" and first != second:
        walk.report("const-changed", Effect.BOTH, f"the value is {_listed(after)}, and was {_listed(before)}", path)
        return
    for text in sorted(first - second):
        walk.report("enum-value-removed", Effect.NARROWS, f"the value {text} is no longer accepted", path)
    for text in sorted(second - first):
        what = f"the value {text} may come, which was not among {_listed(before)}"
        walk.report("enum-value-added", Effect.WIDENS, what, path, Severity.WARNING)


def _listed(values: list[Any]) -> str:
    return ", ".join(canonical(value) for value in values)


def _is_settled_by_values(walk: Walk, pair: Pair) -> bool:
    """Whether the writer's values are listed, and the reader accepts each of them: then no limit matters."""
    writer, reader = walk.sides(pair)
    values = enumerated(writer)
    return values is not None and "format" not in reader and all(_admits(reader, value) for value in values)


def _admits(schema: Plain, value: Any) -> bool:
    """Whether a text or number is within the limits of a schema."""
    match value:
        case str():
            size: float = len(value)
            bounds = ("minLength", "maxLength")
        case bool() | None:
            return True
        case int() | float():
            size = value
            bounds = ("minimum", "maximum")
        case _:
            return False
    low, high = (schema.get(each) for each in bounds)
    within = (low is None or size >= low) and (high is None or size <= high)
    bare = not {"exclusiveMinimum", "exclusiveMaximum", "multipleOf"} & schema.keys() or type_of(value) == "string"
    return within and bare and (type_of(value) != "string" or re.search(schema.get("pattern", ""), value) is not None)


def _limit(walk: Walk, keyword: str, name: str, pair: Pair) -> None:
    old, new, path = pair
    before, after = old.get(keyword), new.get(keyword)
    if keyword in FROM_ZERO:
        before, after = before or None, after or None
    if before == after:
        return
    if before is None:
        walk.report(f"{name}-set", Effect.NARROWS, f"`{keyword}` is {after}, and was not limited", path)
    elif after is None:
        walk.report(f"{name}-unset", Effect.WIDENS, f"`{keyword}` is not limited, and was {before}", path)
    else:
        grew = after > before
        narrows = grew if keyword in LOWER else not grew
        word = "increased" if grew else "decreased"
        effect = Effect.NARROWS if narrows else Effect.WIDENS
        walk.report(f"{name}-{word}", effect, f"`{keyword}` is {after}, and was {before}", path)


def _pattern(walk: Walk, pair: Pair) -> None:
    old, new, path = pair
    before, after = (None if each.get("pattern") in ANY_TEXT else each.get("pattern") for each in (old, new))
    if before == after:
        return
    if before is None:
        walk.report("pattern-added", Effect.NARROWS, f"`pattern` is {after}, and any text was accepted", path)
    elif after is None:
        walk.report("pattern-removed", Effect.WIDENS, f"`pattern` is removed, and was {before}", path)
    else:
        what = f"`pattern` is {after}, and was {before}"
        walk.report("pattern-changed", Effect.BOTH, what, path, Severity.WARNING)


def _multiple(walk: Walk, pair: Pair) -> None:
    old, new, path = pair
    before, after = old.get("multipleOf"), new.get("multipleOf")
    if before == after:
        return
    if before is None:
        walk.report("multiple-of-set", Effect.NARROWS, f"`multipleOf` is {after}, and was not limited", path)
    elif after is None:
        walk.report("multiple-of-unset", Effect.WIDENS, f"`multipleOf` is not limited, and was {before}", path)
    else:
        what = f"`multipleOf` is {after}, and was {before}"
        if _divides(after, before):
            walk.report("multiple-of-generalized", Effect.WIDENS, what, path)
        elif _divides(before, after):
            walk.report("multiple-of-specialized", Effect.NARROWS, what, path)
        else:
            walk.report("multiple-of-changed", Effect.BOTH, what, path)


def _divides(one: float, other: float) -> bool:
    """Whether `other` is a multiple of `one`; for fractions False, because a computer's are not exact."""
    return float(one).is_integer() and float(other).is_integer() and int(other) % int(one) == 0


def _format(walk: Walk, pair: Pair) -> None:
    old, new, path = pair
    before, after = old.get("format"), new.get("format")
    if before == after:
        return
    what = f"`format` is {after or 'any'}, and was {before or 'any'}"
    if before is None or before in WIDER.get(after or "", ()):
        walk.report("type-specialized", Effect.NARROWS, what, path)
    elif after is None or after in WIDER.get(before, ()):
        walk.report("type-generalized", Effect.WIDENS, what, path)
    else:
        walk.report("type-changed", Effect.BOTH, what, path)
