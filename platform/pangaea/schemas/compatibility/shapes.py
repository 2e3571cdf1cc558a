"""What a schema accepts, read from its keywords: types, values, members; and whether two schemas share a value."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any] | bool
Plain = dict[str, Any]
"""A schema as an object without `$ref`, and without `allOf` where that could be merged."""

NOTHING: Plain = {"not": {}}
"""Accepts no value."""
TYPES = frozenset({"array", "boolean", "integer", "fraction", "null", "object", "string"})
"""The kinds of values; `number` is `integer` and `fraction`."""


def canonical(value: Any) -> str:
    """One text per JSON value; 1 and 1.0 have the same, `true` and 1 have not."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value, sort_keys=True)


def type_of(value: Any) -> str:
    """The kind of a JSON value."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return "integer" if float(value).is_integer() else "fraction"
        case str():
            return "string"
    return "object" if isinstance(value, Mapping) else "array"


def enumerated(schema: Plain) -> list[Any] | None:
    """The values that `const` or `enum` accepts, of those that `type` does; None where neither is there."""
    if "const" not in schema and "enum" not in schema:
        return None
    kinds = declared_types(schema)
    found = [schema["const"]] if "const" in schema else schema["enum"]
    return [value for value in found if type_of(value) in kinds]


def declared_types(schema: Plain) -> frozenset[str]:
    """The kinds that `type` accepts; all of them without it."""
    found = schema.get("type")
    if found is None:
        return TYPES
    names = {found} if isinstance(found, str) else set(found)
    return frozenset(names - {"number"} | ({"integer", "fraction"} if "number" in names else set()))


def types(schema: Plain) -> frozenset[str]:
    """The kinds of the values that a schema may accept."""
    values = enumerated(schema)
    found = declared_types(schema)
    return found if values is None else found & {type_of(value) for value in values}


def type_names(kinds: frozenset[str]) -> list[str]:
    """Kinds as `type` names them."""
    return sorted(kinds - {"fraction", "integer"} | {"number"} if "fraction" in kinds else kinds)


def member(schema: Plain, name: str) -> Schema:
    """The schema of an object's member: by its name, by the patterns that match it, or that of additional ones."""
    found = [schema["properties"][name]] if name in schema.get("properties", {}) else []
    found += [each for pattern, each in schema.get("patternProperties", {}).items() if re.search(pattern, name)]
    if not found:
        additional: Schema = schema.get("additionalProperties", True)
        return additional
    return found[0] if len(found) == 1 else {"allOf": found}


def disjoint(one: Plain, other: Plain, *, strict: bool) -> bool:
    """Whether it is certain that no value matches both. `strict`: members that a schema closes out are refused."""
    if not types(one) & types(other):
        return True
    first, second = enumerated(one), enumerated(other)
    if first is not None and second is not None:
        return not {canonical(each) for each in first} & {canonical(each) for each in second}
    return types(one) == types(other) == {"object"} and any(_by_member(one, other, strict=strict))


def _by_member(one: Plain, other: Plain, *, strict: bool) -> Iterator[bool]:
    for schema, against in ((one, other), (other, one)):
        for name in schema.get("required", ()):
            yield strict and member(against, name) is False
            if name in against.get("required", ()):
                pair = [each for each in (member(schema, name), member(against, name)) if isinstance(each, Mapping)]
                values = [found for each in pair if (found := enumerated(dict(each))) is not None]
                texts = [{canonical(value) for value in found} for found in values]
                yield len(texts) == len((one, other)) and not texts[0] & texts[1]
