"""What every operation has in common: headers of its answers, and the problems that follow from its shape."""

from collections.abc import Mapping
from typing import Any

from rest_framework.views import APIView

from pangaea.api import describing
from pangaea.api.describing import Operation
from pangaea.telemetry import correlation

_ALWAYS = ("bad_request", "malformed_url", "too_many_parameters", "unknown_host", "not_acceptable")
_ALWAYS_LATER = ("throttled", "internal_error", "unavailable")
_WITH_A_BODY = (
    *("body_unreadable", "malformed_json", "parse_error", "validation_failed", "length_required", "body_too_large"),
    *("unsupported_charset", "unsupported_content_coding", "unsupported_media_type"),
)
_WITH_A_TOKEN = ("token_expired", "token_invalid", "token_missing", "insufficient_scope")


_HEADERS: tuple[tuple[str, dict[str, Any], tuple[str, ...]], ...] = (
    (
        correlation.HEADER,
        {
            "description": "Finds the request in the logs. Name it in a report of an error.",
            "required": True,
            "schema": {"type": "string", "pattern": f"^[{correlation.CHARACTERS}]{{1,{correlation.MAX_LENGTH}}}$"},
            "example": "0af7651916cd43dd8448eb211c80319c",
        },
        ("*",),
    ),
    (
        "Cache-Control",
        {
            "description": "Who may keep the answer, and for how long (RFC 9111).",
            "schema": {"type": "string"},
            "example": "private, no-store",
        },
        ("*",),
    ),
    (
        "Location",
        {
            "description": "The address of what was created.",
            "required": True,
            "schema": {"type": "string", "format": "uri-reference", "pattern": "^/"},
            "example": "/api/v1/orders/01a2232a-bd6d-7cc1-8000-000000000000",
        },
        ("201", "202"),
    ),
    (
        "RateLimit-Policy",
        {
            "description": "The limits of the gateway and of this route (draft-ietf-httpapi-ratelimit-headers-11).",
            "schema": {"type": "string"},
            "example": '"gateway";q=6000;w=60',
        },
        ("*",),
    ),
    (
        "RateLimit",
        {
            "description": "What is left of each limit (`r`), and the seconds until there is more (`t`).",
            "schema": {"type": "string"},
            "example": '"gateway";r=5999;t=1',
        },
        ("*",),
    ),
    (
        "Allow",
        {
            "description": "With `method_not_allowed`: the methods of this address.",
            "schema": {"type": "string"},
            "example": "GET, HEAD, OPTIONS",
        },
        ("default",),
    ),
    (
        "WWW-Authenticate",
        {
            "description": "The challenge (RFC 6750, 3): what is wrong with the token, or which scope it lacks.",
            "schema": {"type": "string", "pattern": "^Bearer "},
            "example": 'Bearer realm="pangaea", error="invalid_token"',
        },
        ("401", "403"),
    ),
    (
        "Accept",
        {
            "description": "The media type of bodies that are read here.",
            "schema": {"type": "string"},
            "example": "application/json",
        },
        ("415",),
    ),
    (
        "Accept-Encoding",
        {
            "description": "The content codings of bodies that are read here: none (RFC 9110, 12.5.3).",
            "schema": {"type": "string"},
            "example": "identity",
        },
        ("415",),
    ),
    (
        "Retry-After",
        {
            "description": "Seconds to wait before the request is repeated.",
            "required": True,
            "schema": {"type": "integer", "minimum": 0},
            "example": 2,
        },
        ("429", "503"),
    ),
)


def describe(view: APIView, method: str, operation: Operation) -> None:
    """Add what follows from the operation's body, parameters and permissions, and what the view declares.

    A view declares its own problems beside its handlers: `problems = {"post": ("out_of_stock", "unknown_sku")}`; and
    the operations to which its successful answers lead, with a runtime expression per parameter:
    `links = {"post": {"orders_read_order": {"order_id": "$response.body#/id"}}}`.
    """
    places = {parameter["in"] for parameter in operation.get("parameters", ())}
    security = operation.get("security", [])
    describing.add_problems(operation, *_ALWAYS, *_ALWAYS_LATER)
    if "requestBody" in operation:
        describing.add_problems(operation, *_WITH_A_BODY)
    if "query" in places:
        describing.add_problems(operation, "validation_failed")
    if "path" in places:
        describing.add_problems(operation, "not_found")
    if any(security) and {} not in security:
        describing.add_problems(operation, *_WITH_A_TOKEN)
    describing.add_problems(operation, *getattr(view, "problems", {}).get(method.lower(), ()))
    _add_links(operation, getattr(view, "links", {}).get(method.lower(), {}))
    for name, header, statuses in _HEADERS:
        describing.add_header(operation, name, header, statuses=statuses)


def _add_links(operation: Operation, links: Mapping[str, Mapping[str, str]]) -> None:
    for status, response in operation["responses"].items():
        if links and status.startswith("2"):
            response["links"] = {
                operation_id: {"operationId": operation_id, "parameters": dict(parameters)}
                for operation_id, parameters in links.items()
            }
