"""Schemas in the form that is compared: references followed, `allOf` merged, annotations left out."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pangaea.schemas.compatibility.shapes import (
    NOTHING,
    Plain,
    Schema,
    canonical,
    declared_types,
    enumerated,
    member,
    type_names,
)

ANNOTATIONS = frozenset(
    {
        "$anchor",
        "$comment",
        "$defs",
        "$id",
        "$schema",
        "default",
        "deprecated",
        "description",
        "discriminator",
        "example",
        "examples",
        "externalDocs",
        "title",
        "xml",
    }
)
"""Keywords that accept and refuse nothing. The reader applies a `default`; it decides about no value."""
EXTENSIBLE_ENUM = "x-extensible-enum"
"""Values that are known, of which more may come: what Zalando's guidelines write instead of `enum` in answers."""
LOWER = ("minLength", "minItems", "minProperties", "minimum", "exclusiveMinimum", "minContains")
UPPER = ("maxLength", "maxItems", "maxProperties", "maximum", "exclusiveMaximum", "maxContains")
NESTED = ("items", "propertyNames", "contentSchema")
"""Keywords with one schema."""
KEYED = ("patternProperties", "dependentSchemas")
"""Keywords with a schema per name."""
MERGED = frozenset(
    {
        *(*LOWER, *UPPER, *NESTED, *KEYED),
        *("additionalProperties", "allOf", "const", "enum", "properties", "readOnly", "required", "type", "writeOnly"),
    }
)
"""Keywords that can be merged exactly where two schemas have them with different values."""
VALUES = frozenset({"const", "dependentRequired", "enum", EXTENSIBLE_ENUM})
"""Keywords without schemas."""
DEPENDENT = {"then": "if", "else": "if", "minContains": "contains", "maxContains": "contains"}
"""Keywords that do nothing without another one."""
EVALUATING = ("allOf", "anyOf", "dependentSchemas", "if", "oneOf")
"""Keywords by which `unevaluatedProperties` depends on the value."""


@dataclass(frozen=True, slots=True)
class Document:
    """The document that holds a schema, in which its references are followed."""

    root: Mapping[str, Any]

    def target(self, reference: str) -> Schema:
        """What a reference within the document leads to. Raises LookupError for any other."""
        if not reference.startswith("#"):
            raise LookupError(f"The reference {reference!r} leads out of the document.")
        found: Any = self.root
        for part in reference[1:].split("/")[1:]:
            name = part.replace("~1", "/").replace("~0", "~")
            found = found[int(name)] if isinstance(found, Sequence) else found[name]
        target: Schema = found
        return target

    def plain(self, schema: Schema) -> Plain:
        """The schema as it is compared. `allOf` remains where its parts cannot be merged exactly."""
        if isinstance(schema, bool):
            return {} if schema else dict(NOTHING)
        own = _own(schema)
        unevaluated: Schema | None = own.pop("unevaluatedProperties", None)
        if reference := own.pop("$ref", None):
            own = merge(self.plain(self.target(reference)), own)
        for part in schema.get("allOf", ()):
            own = merge(own, self.plain(part))
        if schema.get("nullable") is True and "type" not in schema:
            own = {"anyOf": [own, {"type": "null"}]}
        return _closed(own, unevaluated)

    def alternatives(self, schema: Plain) -> list[Plain]:
        """The schemas of which a value must match one; what stands beside `oneOf` or `anyOf` is part of each."""
        for keyword in ("oneOf", "anyOf"):
            if keyword in schema:
                rest = {name: value for name, value in schema.items() if name != keyword}
                unevaluated = rest.pop("unevaluatedProperties", None)
                parts = [merge(rest, self.plain(each)) for each in schema[keyword]]
                return [each for part in parts for each in self.alternatives(_closed(part, unevaluated))]
        return [schema]

    def expanded(self, schema: Schema) -> str:
        """A text that is equal for schemas that are written alike, wherever their parts are."""
        return json.dumps(self._expand(schema, ()), sort_keys=True)

    def _expand(self, value: Any, inside: tuple[str, ...]) -> Any:
        if isinstance(value, Mapping):
            found = {name: each for name, each in value.items() if not is_annotation(name)}
            reference = found.pop("$ref", None)
            if isinstance(reference, str):
                if reference in inside:
                    return {"$ref": inside[::-1].index(reference)}
                target = self._expand(self.target(reference), (*inside, reference))
                return {"allOf": [target, self._expand(found, inside)]} if found else target
            return {name: self._expand_keyword(name, each, inside) for name, each in found.items()}
        return [self._expand(each, inside) for each in value] if isinstance(value, list) else value

    def _expand_keyword(self, keyword: str, value: Any, inside: tuple[str, ...]) -> Any:
        if keyword in {"properties", *KEYED}:
            return {name: self._expand(each, inside) for name, each in value.items()}
        return value if keyword in VALUES else self._expand(value, inside)


def is_annotation(keyword: str) -> bool:
    """Whether a keyword, an extension among them, accepts and refuses nothing."""
    return keyword in ANNOTATIONS or (keyword.startswith("x-") and keyword != EXTENSIBLE_ENUM)


def _own(schema: Mapping[str, Any]) -> Plain:
    """The keywords of the schema itself, without those that do nothing; `nullable` of OpenAPI 3.0 as 3.1 writes it."""
    own = {
        name: value
        for name, value in schema.items()
        if not (is_annotation(name) or name in {"allOf", "nullable"} or DEPENDENT.get(name, name) not in schema)
    }
    for name in ("uniqueItems", "readOnly", "writeOnly"):
        if own.get(name) is False:
            del own[name]
    if schema.get("nullable") is True and "type" in own:
        own["type"] = [*([own["type"]] if isinstance(own["type"], str) else own["type"]), "null"]
    return own


def _closed(schema: Plain, unevaluated: Schema | None) -> Plain:
    """The schema with its `unevaluatedProperties`, which are the additional ones where nothing else evaluates any."""
    if unevaluated is None:
        return schema
    if any(name in schema for name in EVALUATING):
        return schema | {"unevaluatedProperties": unevaluated}
    return {"additionalProperties": unevaluated} | schema


def merge(one: Plain, other: Plain) -> Plain:
    """A schema that accepts what both accept: one without `allOf` where that is exact."""
    if not one or not other or one == other:
        return dict(one or other)
    if not _can_be_merged(one, other):
        return {**one, "allOf": [*one.get("allOf", ()), other]}
    merged = {**one, **other}
    for name in one.keys() & other.keys():
        merged[name] = _both(name, one[name], other[name])
    if "type" in merged:
        merged["type"] = type_names(declared_types(one) & declared_types(other))
    return _with_values(one, other, merged) | _members(one, other)


def _can_be_merged(one: Plain, other: Plain) -> bool:
    if any(one[name] != other[name] for name in (one.keys() & other.keys()) - MERGED):
        return False
    if any(
        name in each for each in (one, other) for name in ("prefixItems", "unevaluatedProperties", "unevaluatedItems")
    ):
        return False
    closed = any(each.get("additionalProperties", True) is not True for each in (one, other))
    return not (closed and any("patternProperties" in each for each in (one, other)))


def _both(name: str, one: Any, other: Any) -> Any:
    if name in LOWER:
        return max(one, other)
    if name in UPPER:
        return min(one, other)
    if name == "required":
        return sorted({*one, *other})
    if name == "allOf":
        return [*one, *other]
    if name in KEYED:
        return one | {key: _together(one[key], each) if key in one else each for key, each in other.items()}
    return _together(one, other) if name in NESTED else other


def _with_values(one: Plain, other: Plain, merged: Plain) -> Plain:
    first, second = enumerated(one), enumerated(other)
    if first is None or second is None:
        return merged
    texts = {canonical(value) for value in second}
    rest = {name: value for name, value in merged.items() if name not in {"const", "enum"}}
    return rest | {"enum": [value for value in first if canonical(value) in texts]}


def _members(one: Plain, other: Plain) -> Plain:
    """`properties` and `additionalProperties` of two schemas together: what one does not name, it may forbid."""
    found: Plain = {}
    names = [*one.get("properties", {}), *other.get("properties", {})]
    if names:
        found["properties"] = {name: _together(member(one, name), member(other, name)) for name in names}
    additional = [each["additionalProperties"] for each in (one, other) if "additionalProperties" in each]
    if additional:
        found["additionalProperties"] = additional[0] if len(additional) == 1 else _together(*additional)
    return found


def _together(one: Schema, other: Schema) -> Schema:
    if one in (True, {}) or one == other:
        return other
    if other in (True, {}):
        return one
    return False if one is False or other is False else {"allOf": [one, other]}
