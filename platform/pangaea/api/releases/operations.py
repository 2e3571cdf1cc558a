"""What breaks clients when an OpenAPI 3.1 document becomes another one: parameters, bodies, answers, security."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pangaea.schemas.compatibility.comparing import compare as compare_schemas
from pangaea.schemas.compatibility.findings import Direction, Finding, Severity
from pangaea.schemas.compatibility.normal import Document
from pangaea.schemas.compatibility.shapes import declared_types

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
SENDERS = Direction.REQUEST.broken
READERS = Direction.RESPONSE.broken
CALLERS = "clients that call it"
STYLES = {"query": "form", "cookie": "form", "path": "simple", "header": "simple"}

Operation = Mapping[str, Any]
Key = tuple[str, str]
"""An operation: its path without the names of parameters, and its method."""


def operations(document: Mapping[str, Any]) -> dict[Key, tuple[str, Operation]]:
    """Each operation with its path. Two spellings of a path that differ in the names of parameters are one."""
    return {
        (re.sub(r"\{[^}]*\}", "{}", path), method): (path, item[method])
        for path, item in document.get("paths", {}).items()
        for method in METHODS
        if method in item
    }


def compare(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Finding]:
    """What breaks clients of the old document, in the operations that both have."""
    before, after = operations(old), operations(new)
    findings: list[Finding] = []
    for key in sorted(before.keys() & after.keys()):
        path, _ = before[key]
        where = f"{key[1].upper()} {path}"
        findings += _Pair(where, _Side(old, *before[key], key[1]), _Side(new, *after[key], key[1])).findings()
    return sorted(set(findings))


@dataclass(frozen=True, slots=True)
class _Side:
    """An operation in its document."""

    document: Mapping[str, Any]
    path: str
    operation: Operation
    method: str

    def resolved(self, value: Mapping[str, Any]) -> Mapping[str, Any]:
        while "$ref" in value:
            value = Document(self.document).target(value["$ref"])  # type: ignore[assignment] # no schema, but an object
        return value

    def parameters(self) -> dict[tuple[str, str], Mapping[str, Any]]:
        """By place and name: a header's in small letters, a path's by its position."""
        places = {name: str(number) for number, name in enumerate(re.findall(r"\{([^}]*)\}", self.path))}
        found: dict[tuple[str, str], Mapping[str, Any]] = {}
        shared = self.document["paths"][self.path].get("parameters", ())
        for parameter in map(self.resolved, [*shared, *self.operation.get("parameters", ())]):
            name = parameter["name"]
            key = places.get(name, name) if parameter["in"] == "path" else name
            found[parameter["in"], key.lower() if parameter["in"] == "header" else key] = parameter
        return found

    def body(self) -> Mapping[str, Any]:
        return self.resolved(self.operation.get("requestBody", {}))

    def answers(self) -> dict[str, Mapping[str, Any]]:
        return {str(status): self.resolved(each) for status, each in self.operation.get("responses", {}).items()}

    def headers(self, status: str) -> dict[str, Mapping[str, Any]]:
        return {name.lower(): self.resolved(each) for name, each in self.answers()[status].get("headers", {}).items()}

    def security(self) -> list[dict[str, frozenset[str]]]:
        """The ways in: one of them suffices, each with its schemes and their scopes."""
        found = self.operation.get("security", self.document.get("security", [])) or [{}]
        return [{name: frozenset(scopes) for name, scopes in way.items()} for way in found]

    def scheme(self, name: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.document.get("components", {}).get("securitySchemes", {}).get(name, {})
        return {key: value for key, value in self.resolved(found).items() if key in {"type", "scheme", "in", "name"}}


@dataclass(frozen=True, slots=True)
class _Pair:
    """One operation in two documents."""

    where: str
    old: _Side
    new: _Side

    def findings(self) -> Iterator[Finding]:
        yield from self._parameters()
        yield from self._body()
        yield from self._answers()
        yield from self._security()
        before, after = self.old.operation.get("operationId"), self.new.operation.get("operationId")
        if before is not None and before != after:
            what = f"the operation's id is {after}, and was {before}"
            yield self._finding("api-operation-id-removed", "", what, "generated clients", Severity.WARNING)

    def _finding(
        self, rule: str, part: str, what: str, breaks: str = CALLERS, severity: Severity = Severity.ERROR
    ) -> Finding:
        return Finding(f"{self.where} {part}".strip(), rule, what, breaks, severity)

    def _schemas(
        self, old: Mapping[str, Any], new: Mapping[str, Any], direction: Direction, place: str, part: str
    ) -> Iterator[Finding]:
        """The findings of what holds a schema: a parameter, a header, a body of one media type."""
        found = compare_schemas(
            old.get("schema", True),
            new.get("schema", True),
            direction=direction,
            place=place,
            old_document=self.old.document,
            new_document=self.new.document,
        )
        for each in found:
            yield replace(each, path=f"{self.where} {part} {each.path}")

    def _parameters(self) -> Iterator[Finding]:
        before, after = self.old.parameters(), self.new.parameters()
        for key in sorted(before.keys() | after.keys()):
            parameter = after.get(key) or before[key]
            part = f"{key[0]} parameter {parameter['name']}"
            if key not in before:
                if parameter.get("required"):
                    what = "it is required, and was not known"
                    rule = "new-request-path-parameter" if key[0] == "path" else "new-required-request-parameter"
                    yield self._finding(rule, part, what)
            elif key not in after:
                what = "it has no effect or is refused, and was accepted"
                yield self._finding("request-parameter-removed", part, what, SENDERS, Severity.WARNING)
            else:
                yield from self._parameter(before[key], after[key], part)

    def _parameter(self, old: Mapping[str, Any], new: Mapping[str, Any], part: str) -> Iterator[Finding]:
        if new.get("required") and not old.get("required"):
            yield self._finding("request-parameter-became-required", part, "it is required, and was optional")
        before, after = _serialization(old), _serialization(new)
        for name in before:
            if before[name] != after[name] and (name, after[name]) != ("allowReserved", True):
                what = f"`{name}` is {after[name]}, and was {before[name]}"
                rule = "became-not-allow-reserved" if name == "allowReserved" else f"{name}-changed"
                yield self._finding(f"request-parameter-{rule}", part, what, SENDERS)
        pairs = (old.get("content", {}), new.get("content", {}))
        for media_type in sorted(pairs[0]):
            if media_type not in pairs[1]:
                what = f"{media_type} is not accepted, and was"
                yield self._finding("request-parameter-media-type-removed", part, what, SENDERS)
            else:
                yield from self._schemas(
                    pairs[0][media_type], pairs[1][media_type], Direction.REQUEST, "parameter", part
                )
        yield from self._schemas(old, new, Direction.REQUEST, "parameter", part)

    def _body(self) -> Iterator[Finding]:
        before, after = self.old.body(), self.new.body()
        part = "body"
        if not before:
            if after.get("required"):
                yield self._finding("request-body-added-required", part, "it is required, and there was none")
            return
        if not after:
            yield self._finding("request-body-removed", part, "it is not read, and was", SENDERS)
            return
        if after.get("required") and not before.get("required"):
            yield self._finding("request-body-became-required", part, "it is required, and was optional")
        for media_type, content in sorted(before.get("content", {}).items()):
            if media_type not in after.get("content", {}):
                what = f"{media_type} is not accepted, and was"
                yield self._finding("request-body-media-type-removed", part, what, SENDERS)
            else:
                changed = after["content"][media_type]
                if "schema" in changed and "schema" not in content:
                    what = f"{media_type} is restricted, and any was accepted"
                    yield self._finding("request-body-media-type-schema-added", part, what, SENDERS)
                elif "schema" in changed:
                    yield from self._schemas(content, changed, Direction.REQUEST, "body", part)

    def _answers(self) -> Iterator[Finding]:
        before, after = self.old.answers(), self.new.answers()
        for status in sorted(before):
            if status in after:
                yield from self._answer(status, before[status], after[status])
            elif status.startswith("2"):
                what = "this status is not answered, and was"
                yield self._finding("response-success-status-removed", status, what, READERS)

    def _answer(self, status: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Finding]:
        before, after = old.get("content", {}), new.get("content", {})
        for media_type in sorted(before):
            if media_type not in after:
                what = f"{media_type} is not answered, and was"
                yield self._finding("response-media-type-removed", status, what, READERS)
            elif "schema" in before[media_type]:
                if "schema" not in after[media_type]:
                    what = f"{media_type} is not described, and was"
                    yield self._finding("response-body-media-type-schema-removed", status, what, READERS)
                else:
                    yield from self._schemas(before[media_type], after[media_type], Direction.RESPONSE, "body", status)
        yield from self._headers(status)

    def _headers(self, status: str) -> Iterator[Finding]:
        before, after = self.old.headers(status), self.new.headers(status)
        for name, header in sorted(before.items()):
            part = f"{status} header {name}"
            if name not in after:
                required = header.get("required", False)
                rule = f"{'required' if required else 'optional'}-response-header-removed"
                severity = Severity.ERROR if required else Severity.WARNING
                yield self._finding(rule, part, "it is not sent, and was", READERS, severity)
                continue
            if header.get("required") and not after[name].get("required"):
                what = "it may be missing, and was always there"
                yield self._finding("response-header-became-optional", part, what, READERS)
            yield from self._schemas(header, after[name], Direction.RESPONSE, "header", part)

    def _security(self) -> Iterator[Finding]:
        after = self.new.security()
        for way in self.old.security():
            named = " and ".join(sorted(way)) or "no credentials"
            schemes = [each for each in after if each.keys() <= way.keys()]
            if not schemes:
                yield self._finding("api-security-removed", "", f"{named} is no longer enough", "clients that use it")
            elif not any(all(each[name] <= way[name] for name in each) for each in schemes):
                new_scopes = sorted(schemes[0][name] - way[name] for name in schemes[0])
                what = f"with {named} the scope {', '.join(sorted({*new_scopes[0]}))} is needed, and was not"
                yield self._finding("api-security-scope-added", "", what, "clients whose tokens lack it")
            for name in sorted(way):
                if self.old.scheme(name) != self.new.scheme(name) and any(name in each for each in after):
                    what = f"credentials of the scheme {name} are sent in another way"
                    yield self._finding("api-security-component-type-changed", "", what, "clients that use it")


def _serialization(parameter: Mapping[str, Any]) -> dict[str, Any]:
    """How its value is written; `explode` matters only to arrays and objects."""
    style = parameter.get("style", STYLES[parameter["in"]])
    kinds = declared_types(dict(parameter.get("schema", {})))
    return {
        "style": style,
        "explode": None if not kinds & {"array", "object"} else parameter.get("explode", style == "form"),
        "allowReserved": parameter.get("allowReserved", False),
    }
