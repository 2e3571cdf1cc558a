"""An example for every request, answer and parameter, made of the examples of their parts."""

import functools
from collections.abc import Iterator, Mapping
from typing import Any

from pangaea.api.openapi.problems import MEDIA_TYPE

_OF_FORMAT: Mapping[str, str] = {
    "uuid": "01a2232a-bd6d-7cc1-8000-000000000000",
    "date-time": "2026-11-29T09:30:00Z",
    "date": "2026-11-29",
    "email": "ada@example.com",
    "uri-reference": "/api/v1/orders",
}


def add(document: dict[str, Any]) -> None:
    """Give every parameter and every body an example, unless it has one or is a cursor."""
    for item in document["paths"].values():
        for operation in item.values():
            for parameter in operation.get("parameters", ()):
                # An example of an opaque cursor would be refused.
                has_one = {"$ref", "example", "examples"} & parameter.keys()
                if not has_one and parameter["schema"].get("format") != "cursor":
                    parameter["example"] = example_of(parameter["schema"], document, parameter["name"])
            for part in _bodies(operation):
                for media_type, content in part.get("content", {}).items():
                    if media_type != MEDIA_TYPE and not {"example", "examples"} & content.keys():
                        content["example"] = example_of(content["schema"], document)


def _bodies(operation: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    if "requestBody" in operation:
        yield operation["requestBody"]
    yield from operation["responses"].values()


def example_of(schema: Mapping[str, Any], document: Mapping[str, Any], name: str = "text") -> Any:
    """An example of the schema: its own, or one made of those of its parts. Text without an example is its `name`."""
    own = [*schema.get("examples", ()), *(schema[each] for each in ("example", "const", "default") if each in schema)]
    if own := own + list(schema.get("enum", ())):
        return own[0]
    if "$ref" in schema:
        found = functools.reduce(lambda inner, part: inner[part], schema["$ref"].split("/")[1:], document)
        return example_of(found, document, name)
    if variants := schema.get("oneOf", schema.get("anyOf")):
        return example_of(next(each for each in variants if each.get("type") != "null"), document, name)
    if "allOf" in schema:
        parts = [example_of(each, document, name) for each in schema["allOf"]]
        return {key: value for part in parts for key, value in part.items()}
    return _of_type(schema, document, name)


def _of_type(schema: Mapping[str, Any], document: Mapping[str, Any], name: str) -> Any:
    types = schema.get("type", "object")
    kind = types if isinstance(types, str) else next(each for each in types if each != "null")
    match kind:
        case "object":
            return {key: example_of(part, document, key) for key, part in schema.get("properties", {}).items()}
        case "array":
            return [example_of(schema["items"], document, name)]
        case "integer" | "number":
            return max(schema.get("minimum", 1), min(1, schema.get("maximum", 1)))
        case "boolean":
            return True
    return _OF_FORMAT.get(schema.get("format", ""), name)
