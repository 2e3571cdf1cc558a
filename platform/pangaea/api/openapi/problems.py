"""Problem documents in the OpenAPI documents: their schema, and the responses of an operation that have them.

The codes that an answer may have are the names of the response's examples.
"""

from collections.abc import Iterable, Iterator, Mapping
from http import HTTPStatus
from typing import Any

from pangaea.api import problem_types
from pangaea.api.describing import CODES, HEADERS, Operation, applies
from pangaea.errors import Misconfigured
from pangaea.modules import ModuleConfig, ProblemType

MEDIA_TYPE = "application/problem+json"

SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "description": "RFC 9457. Members beside these depend on the `code`.",
    "externalDocs": {
        "description": "Each `type` is the address of such a page, which explains the code.",
        "url": "/problems/validation_failed",
    },
    "required": ["type", "title", "status", "detail", "code"],
    "properties": {
        "type": {
            "type": "string",
            "format": "uri-reference",
            "description": "The code as an address: a page that explains it.",
        },
        "title": {"type": "string", "description": "The code in words."},
        "status": {"type": "integer", "minimum": 400, "maximum": 599, "description": "The HTTP status."},
        "detail": {"type": "string", "description": "What happened, for people."},
        "instance": {
            "type": "string",
            "format": "uri-reference",
            "description": "The path of the request; absent where it could not be read.",
        },
        "code": {
            "type": "string",
            "pattern": "^[a-z][a-z0-9]*(_[a-z0-9]+)*$",
            "description": "Stable: branch on this. There may be codes that this document does not name.",
            "examples": ["out_of_stock"],
        },
        "correlation_id": {
            "type": "string",
            "description": "Finds the request in the logs; absent where the gateway could not read it.",
        },
        "violated-policies": {
            "type": "array",
            "description": "With the code `throttled`: the limits that are used up, as `RateLimit` names them.",
            "minItems": 1,
            "items": {"type": "string", "examples": ["shop:changes_per_day"]},
        },
        "errors": {
            "type": "array",
            "description": "With the code `validation_failed`: every mistake.",
            "minItems": 1,
            "maxItems": 100,
            "items": {
                "type": "object",
                "required": ["code", "detail"],
                "properties": {
                    "pointer": {"type": "string", "description": "RFC 6901.", "examples": ["#/lines/0/quantity"]},
                    "parameter": {"type": "string", "description": "The query parameter.", "examples": ["limit"]},
                    "code": {"type": "string"},
                    "detail": {"type": "string"},
                },
            },
        },
    },
    "additionalProperties": True,
}

ELSEWHERE = (
    *("malformed_request", "request_timeout", "url_too_long", "header_too_large", "unknown_expectation"),
    *("http_version_too_old", "unknown_transfer_coding", "interrupted", "refused_by_gateway", "timeout"),
    *("caller_not_accepted", "method_not_allowed"),
)
"""What the web server and the gateway answer before or instead of an operation: the response `default`."""

_DESCRIPTIONS: Mapping[str, str] = {
    "400": "The request is malformed or fails validation.",
    "401": "There is no access token, or it has expired or is not valid.",
    "403": "The token lacks a scope, or this caller may not do this.",
    "404": "There is no such thing, or it is not the caller's.",
    "409": "The present state does not allow it.",
    "412": "The condition of the request is not met. Nothing was done.",
    "415": "The body is not JSON.",
    "422": "Well-formed, but no state would allow it.",
    "428": "The request needs a condition. Nothing was done.",
    "429": "There were too many requests. Wait as long as `Retry-After` states.",
    "500": "A mistake of ours. The request may have had an effect.",
    "503": "Something that this needs is busy or does not answer. The request had no effect.",
    "default": "Any other error: of the web server, or of the gateway.",
}


def finish(operation: Operation, owner: ModuleConfig | None) -> None:
    """Replace what the describers collected by responses and headers. Raises Misconfigured for an unknown code."""
    by_status: dict[str, dict[str, ProblemType]] = {}
    for code in sorted(set(operation.pop(CODES, ()))):
        found = _explained(code, owner, operation["operationId"])
        by_status.setdefault(str(found.status), {})[code] = found
    by_status["default"] = {code: _explained(code, None, "default") for code in ELSEWHERE}
    responses = operation["responses"]
    for status, kinds in sorted(by_status.items()):
        responses.setdefault(status, _response(status, kinds.values()))
    operation["responses"] = dict(sorted(responses.items()))
    for name, header, statuses in operation.pop(HEADERS, ()):
        for status, response in operation["responses"].items():
            if applies(status, statuses):
                response.setdefault("headers", {})[name] = dict(header)


def _explained(code: str, owner: ModuleConfig | None, operation: str) -> ProblemType:
    declared = {each.code: each for each in owner.problems} if owner else {}
    found = declared.get(code) or problem_types.SHARED.get(code)
    if found is None:
        known = f"ModuleConfig.problems of {owner.label}" if owner else "pangaea.api.problem_types"
        raise Misconfigured(f"{operation} has the problem {code!r}, which {known} does not explain.")
    return found


def _response(status: str, kinds: Iterable[ProblemType]) -> dict[str, Any]:
    default = "" if status == "default" else f"{HTTPStatus(int(status)).phrase}."
    examples = {each.code: {"summary": each.explanation, "value": example(each)} for each in kinds}
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": examples}}
    return {"description": _DESCRIPTIONS.get(status, default), "content": content}


def example(kind: ProblemType) -> dict[str, Any]:
    """A problem document of this kind."""
    return {
        "type": f"/problems/{kind.code}",
        "title": kind.code.replace("_", " ").capitalize(),
        "status": kind.status,
        "detail": kind.explanation.partition(". ")[0].removesuffix(".") + ".",
        "code": kind.code,
        "correlation_id": "0af7651916cd43dd8448eb211c80319c",
        **kind.example,
    }


def responses_of(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Every response of every operation of a document."""
    for item in document["paths"].values():
        for operation in item.values():
            yield from operation["responses"].values()
