"""A second opinion: where the engine finds nothing, `jsonschema` accepts by the reader's schema what is written."""

import itertools
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from pangaea.schemas.compatibility.comparing import compare
from pangaea.schemas.compatibility.findings import Direction, Severity

Json = dict[str, Any]
NAMES = ("a", "b")
SCALARS: list[Any] = [None, True, False, "", "a", "b", "ab", "aab", "bbbb", 0, 1, 2, 3, 4, 6, 9, -1, 0.5, 2.5]
FEW: list[Any] = [None, "a", "bbbb", 1]
LISTS: list[Any] = [list(each) for size in range(3) for each in itertools.product(["a", "bbbb", 1], repeat=size)]
ABSENT = object()
OBJECTS: list[Any] = [
    {name: value for name, value in zip((*NAMES, "d"), values, strict=True) if value is not ABSENT}
    for values in itertools.product([ABSENT, *FEW], [ABSENT, *FEW], [ABSENT, 1])
]
NESTED: list[Any] = [
    *({"a": each} for each in [*LISTS[:9], *OBJECTS[:20]]),
    *({"a": {"a": {"a": each}}} for each in FEW),
    *([each] for each in OBJECTS[:20]),
    ["a", "bbbb", 1],
    ["a", "a", "a"],
]
VALUES = [*SCALARS, *LISTS, *OBJECTS, *NESTED]
"""What a writer may write: a small world, searched whole."""


def texts() -> st.SearchStrategy[Json]:
    return st.fixed_dictionaries(
        {"type": st.just("string")},
        optional={
            "minLength": st.integers(0, 3),
            "maxLength": st.integers(1, 4),
            "pattern": st.sampled_from(["^a", "b$", ".*"]),
            "enum": st.lists(st.sampled_from(["a", "b", "ab", "bbbb"]), min_size=1, unique=True),
        },
    )


def numbers() -> st.SearchStrategy[Json]:
    return st.fixed_dictionaries(
        {"type": st.sampled_from(["integer", "number"])},
        optional={
            "minimum": st.integers(-1, 3),
            "maximum": st.integers(2, 9),
            "exclusiveMinimum": st.integers(-2, 2),
            "exclusiveMaximum": st.integers(3, 9),
            "multipleOf": st.sampled_from([1, 2, 3]),
        },
    )


def scalars() -> st.SearchStrategy[Any]:
    several = st.lists(st.sampled_from(["string", "integer", "null", "boolean"]), min_size=1, unique=True)
    return st.one_of(
        texts(),
        numbers(),
        st.builds(lambda value: {"const": value}, st.sampled_from(FEW)),
        st.builds(lambda names: {"type": names}, several),
        st.builds(lambda names, value: {"type": names, "enum": [value, "a"]}, several, st.sampled_from(FEW)),
        st.just({"type": "null"}),
        st.builds(lambda schema: {"not": schema}, texts()),
        st.booleans(),
    )


def arrays(items: st.SearchStrategy[Any]) -> st.SearchStrategy[Json]:
    return st.fixed_dictionaries(
        {"type": st.just("array")},
        optional={
            "items": items,
            "minItems": st.integers(0, 2),
            "maxItems": st.integers(1, 3),
            "uniqueItems": st.booleans(),
            "prefixItems": st.lists(items, min_size=1, max_size=2),
            "contains": items,
        },
    )


def objects(members: st.SearchStrategy[Any]) -> st.SearchStrategy[Json]:
    named = st.dictionaries(st.sampled_from(NAMES), members, max_size=2)
    return st.fixed_dictionaries(
        {"type": st.just("object"), "properties": named},
        optional={
            "required": st.lists(st.sampled_from(NAMES), unique=True, max_size=2),
            "additionalProperties": st.one_of(st.booleans(), members),
            "patternProperties": st.dictionaries(st.sampled_from(["^a", "^d"]), members, max_size=1),
            "minProperties": st.integers(0, 2),
            "maxProperties": st.integers(1, 3),
            "propertyNames": st.sampled_from([{"pattern": "^[ab]"}, {"maxLength": 1}]),
            "dependentRequired": st.sampled_from([{"a": ["b"]}, {"b": ["a"]}]),
            "unevaluatedProperties": st.booleans(),
        },
    )


def combined(parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Json]:
    pairs = st.lists(parts, min_size=2, max_size=2)
    return st.one_of(
        st.builds(lambda name, found: {name: found}, st.sampled_from(["allOf", "anyOf", "oneOf"]), pairs),
        st.builds(lambda found: {"oneOf": [found, {"type": "null"}]}, parts),
        st.builds(lambda found, extra: {**found, "allOf": [extra]}, objects(parts), objects(parts)),
        st.builds(lambda found, each: {**found, "oneOf": each}, objects(parts), pairs),
        st.builds(lambda condition, found: {"if": condition, "then": found}, texts(), parts),
        st.just({"$ref": "#/$defs/tree"}),
        st.just({"$ref": "#/$defs/tree", "required": ["a"]}),
    )


SCHEMAS = st.recursive(scalars(), lambda parts: st.one_of(arrays(parts), objects(parts), combined(parts)), max_leaves=5)
TREES = objects(st.sampled_from([{"$ref": "#/$defs/tree"}, {"type": "string"}, {"type": ["string", "null"]}]))


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Any, Any]:
    """A schema and a changed one, each with its definition of a tree."""
    old = draw(SCHEMAS)
    new = draw(SCHEMAS) if draw(st.integers(0, 3)) == 0 else changed(draw, deepcopy(old))
    trees = draw(TREES), draw(TREES)
    trees = trees if draw(st.booleans()) else (trees[0], trees[0])
    both = ({"allOf": [each]} if isinstance(each, bool) else each for each in (old, new))
    first, second = ({**each, "$defs": {"tree": tree}} for each, tree in zip(both, trees, strict=True))
    return first, second


def changed(draw: st.DrawFn, schema: Any) -> Any:
    """The schema with another one, or one keyword more or less, at one place."""
    places = list(inside(schema))
    put = draw(st.sampled_from(places)) if places else None
    if put is None:
        return draw(SCHEMAS)
    current = put(None)
    if isinstance(current, bool) or draw(st.booleans()):
        put(draw(SCHEMAS))
        return schema
    kind = current.get("type")
    of_kind = {"string": texts(), "integer": numbers(), "number": numbers(), "array": arrays(scalars())}
    other = draw(of_kind.get(kind, objects(scalars())) if isinstance(kind, str) else objects(scalars()))
    for name in draw(st.lists(st.sampled_from(sorted({*current, *other})), min_size=1, max_size=2)):
        if name in other and name != "type":
            current[name] = other[name]
        else:
            current.pop(name, None)
    return schema


def inside(schema: Any) -> Iterator[Callable[[Any], Any]]:
    """For each schema inside, a function that returns it or, given another one, puts that there."""
    holder = [schema]

    def at(container: Any, key: Any) -> Callable[[Any], Any]:
        def put(value: Any) -> Any:
            if value is not None:
                container[key] = value
            return container[key]

        return put

    if isinstance(schema, dict):
        yield at(holder, 0)
        for name, value in schema.items():
            if name in {"items", "additionalProperties", "contains", "then"}:
                yield at(schema, name)
                yield from inside(value)
            elif name in {"properties", "patternProperties", "prefixItems", "allOf", "anyOf", "oneOf"}:
                keys: Any = value if isinstance(value, dict) else range(len(value))
                for key in keys:
                    yield at(value, key)
                    yield from inside(value[key])


def closed(schema: Any, *, place: bool = True) -> Any:
    """The schema of a writer that writes only what it names. `place`: it describes a value, not a part of a schema."""
    if not isinstance(schema, dict):
        return schema
    found = {name: _within(name, value, closed) for name, value in schema.items()}
    return {"unevaluatedProperties": False, **found} if place else found


def opened(schema: Any, **_: Any) -> Any:
    """The schema of a reader that ignores members which it does not name."""
    if not isinstance(schema, dict):
        return schema
    found = {name: _within(name, value, opened) for name, value in schema.items()}
    return {
        name: value
        for name, value in found.items()
        if not (name in {"additionalProperties", "unevaluatedProperties"} and value is False)
    }


def _within(keyword: str, value: Any, change: Callable[..., Any]) -> Any:
    if keyword in {"properties", "patternProperties"}:
        return {name: change(each) for name, each in value.items()}
    if keyword == "$defs":
        return {name: change(each, place=False) for name, each in value.items()}
    if keyword in {"allOf", "anyOf", "oneOf"}:
        return [change(each, place=False) for each in value]
    if keyword == "prefixItems":
        return [change(each) for each in value]
    if keyword in {"then", "else"}:
        return change(value, place=False)
    return change(value) if keyword in {"items", "additionalProperties", "contains"} else value


def refused(old: Any, new: Any, direction: Direction) -> Any:
    """A value that the writer may write and the reader refuses; ABSENT if there is none in this world."""
    writer, reader = (closed(old), new) if direction.owner_reads else (closed(new), opened(old))
    writes, reads = Draft202012Validator(writer), Draft202012Validator(reader)
    return next((value for value in VALUES if writes.is_valid(value) and not reads.is_valid(value)), ABSENT)


def judge(pair: tuple[Any, Any], direction: Direction) -> None:
    old, new = pair
    findings = compare(old, new, direction=direction)
    event("breaks" if findings else "fits")
    if not findings:
        value = refused(old, new, direction)
        assert value is ABSENT, f"{value!r} is refused, and nothing was found"


class TestTwoSchemas:
    @pytest.mark.parametrize("direction", [Direction.REQUEST, Direction.RESPONSE], ids=lambda each: each.word)
    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(pair=pairs())
    def test_fit_only_where_no_value_is_refused(self, direction: Direction, pair: tuple[Any, Any]) -> None:
        judge(pair, direction)

    @pytest.mark.full
    @pytest.mark.parametrize("direction", [Direction.REQUEST, Direction.RESPONSE], ids=lambda each: each.word)
    @settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
    @given(pair=pairs())
    def test_fit_only_where_no_value_is_refused_of_many(self, direction: Direction, pair: tuple[Any, Any]) -> None:
        judge(pair, direction)

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(schemas=st.one_of(st.tuples(texts(), texts()), st.tuples(numbers(), numbers())), one=st.booleans())
    def test_break_where_a_value_is_refused(self, schemas: tuple[Json, Json], one: bool) -> None:
        direction = Direction.REQUEST if one else Direction.RESPONSE
        base, other = schemas
        keyword = next((name for name in other if name not in {"type", "pattern"} and name not in base), None)
        assume(keyword is not None)
        changed_one = {**base, str(keyword): other[str(keyword)]}
        old, new = (base, changed_one) if one else (changed_one, base)
        value = refused(old, new, direction)
        event("a value is refused" if value is not ABSENT else "the limit does nothing beside the others")
        assert value is ABSENT or [each.severity for each in compare(old, new, direction=direction)] == [Severity.ERROR]
