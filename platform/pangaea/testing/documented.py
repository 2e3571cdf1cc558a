"""An OpenAPI document, compiled: operations by path, and validators of JSON Schema 2020-12 with formats."""

import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_METHODS = ("get", "post", "put", "patch", "delete")
_ADDRESS = "urn:openapi"
_CLOSED_ADDRESS = "urn:openapi:closed"
MOST_SHOWN = 5
"""The most mistakes of one value that a message lists."""


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation and the values that a path has for its parameters. Its responses and parameters are resolved."""

    name: str
    content: Mapping[str, Any]
    responses: Mapping[str, Mapping[str, Any]]
    parameters: list[Mapping[str, Any]]
    path_values: Mapping[str, str]


class DocumentedAPI:
    """The operations of a document, and validation by its schemas."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        from referencing import Registry
        from referencing.jsonschema import DRAFT202012

        self._document = document
        self._validators: dict[tuple[int, bool], Any] = {}
        documents = {_ADDRESS: document, _CLOSED_ADDRESS: _closed(document)}
        resources = {address: DRAFT202012.create_resource(each) for address, each in documents.items()}
        self._registry = Registry().with_resources(resources.items())
        # Paths without parameters first: they win over templates that match too (OpenAPI 3.1, Paths Object).
        templates = sorted(document["paths"], key=lambda path: path.count("{"))
        self._templates = [(re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path)), path) for path in templates]

    def find(self, method: str, path: str) -> Operation | None:
        """The operation of a request; None if the document has none for this path and method."""
        for pattern, template in self._templates:
            if matched := pattern.fullmatch(path):
                content = self._document["paths"][template].get(method.lower())
                if content is None or method.lower() not in _METHODS:
                    return None
                return Operation(
                    name=f"{method.upper()} {template}",
                    content=content,
                    responses={status: self.resolved(each) for status, each in content["responses"].items()},
                    parameters=[self.resolved(each) for each in content.get("parameters", ())],
                    path_values=matched.groupdict(),
                )
        return None

    def resolved(self, part: Mapping[str, Any]) -> Mapping[str, Any]:
        """The part, or the component that it refers to."""
        found: Any = part
        while "$ref" in found:
            found = functools.reduce(lambda inner, name: inner[name], found["$ref"].split("/")[1:], self._document)
        return dict(found)

    def mistakes(self, schema: Mapping[str, Any], value: object, place: str, *, closed: bool = False) -> Iterator[str]:
        """What of the value the schema forbids: the place, the path in the value, the reason and the value there.

        With `closed`, objects that name their members have no others. The document leaves answers open, because clients
        must ignore members that they do not know; a server must document them.
        """
        from jsonschema.exceptions import best_match

        found = sorted(self._validator(schema, closed=closed).iter_errors(value), key=lambda error: error.json_path)
        for error in found[:MOST_SHOWN]:
            inner = best_match([error]) or error
            rule = "/".join(map(str, inner.absolute_schema_path))
            yield f"{place}: {inner.json_path}: {inner.message} (by {rule})"

    def _validator(self, schema: Mapping[str, Any], *, closed: bool) -> Any:
        """One per schema of the document, which owns the object: its id is a key."""
        from jsonschema import Draft202012Validator

        key = (id(schema), closed)
        if key not in self._validators:
            used = _closed(schema) if closed else schema
            self._validators[key] = Draft202012Validator(
                _absolute(used, _CLOSED_ADDRESS if closed else _ADDRESS),
                registry=self._registry,
                format_checker=Draft202012Validator.FORMAT_CHECKER,
            )
        return self._validators[key]


def _absolute(schema: Any, address: str) -> Any:
    """The schema with references into the document as absolute ones, so that it can be used outside of it."""
    match schema:
        case {"$ref": str(reference)}:
            return {**schema, "$ref": f"{address}{reference}"}
        case dict():
            return {name: _absolute(part, address) for name, part in schema.items()}
        case list():
            return [_absolute(part, address) for part in schema]
    return schema


def _closed(schema: Any) -> Any:
    """The schema, in which objects that name their members have no others."""
    match schema:
        case {"type": "object", "properties": dict()} if "additionalProperties" not in schema:
            return {"additionalProperties": False, **{name: _closed(part) for name, part in schema.items()}}
        case dict():
            return {name: _closed(part) for name, part in schema.items()}
        case list():
            return [_closed(part) for part in schema]
    return schema
