"""Every error as a problem document: `application/problem+json`, RFC 9457.

    {"type": "/problems/out_of_stock", "title": "Out of stock", "status": 409,
     "detail": "Only 3 of ABC-1 are left.", "instance": "/api/v1/orders",
     "code": "out_of_stock", "correlation_id": "0199…", "sku": "ABC-1", "available": 3}

Clients branch on `code`. `type` is the code as a URI, where a page explains it (`pangaea.pages.problems`).
`correlation_id` finds the request in the logs. Each detail of a domain error is a member of its own.

The document of a request that fails validation has `errors`, one entry per mistake: `pointer` into the body (RFC 6901,
as a URI fragment: `#/lines/0/quantity`), or `parameter` if the mistake is in the query; `code`; and `detail`. At most
100 are listed.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from itertools import islice
from typing import Any, TypeAlias
from urllib.parse import quote

import structlog
from django.core import exceptions as django_exceptions
from django.http import Http404, HttpRequest, HttpResponse, UnreadablePostError
from django.http.multipartparser import MultiPartParserError
from rest_framework import exceptions as drf_exceptions
from rest_framework.request import Request
from rest_framework.serializers import as_serializer_error
from rest_framework.settings import api_settings
from rest_framework.utils.encoders import JSONEncoder

from pangaea import errors
from pangaea.api.encodings import UnsupportedCharset, UnsupportedContentCoding
from pangaea.caching import CacheUnavailable
from pangaea.databases import outages
from pangaea.databases.errors import is_transient
from pangaea.identity.authentication import REALM
from pangaea.telemetry import correlation

log = structlog.get_logger()

CONTENT_TYPE = "application/problem+json"
MOST_MISTAKES = 100
"""The most errors that an answer lists: a long list of invalid items must not cause an answer many times its size."""

STATUS_OF: Mapping[type[errors.DomainError], int] = {
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.Invalid: 422,
    errors.Throttled: 429,
}
"""The HTTP status of each class of domain errors. No other table maps them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """The content of a problem document. `members` are extensions, `headers` belong to the response."""

    status: int
    code: str
    detail: str
    members: Mapping[str, object] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


_ErrorTypes: TypeAlias = type[Exception] | tuple[type[Exception], ...]

RETRY_SOON = {"Retry-After": "2"}
"""The headers of 503."""
RETRY_SOON_HERE = {**RETRY_SOON, "X-Envoy-Overloaded": "true"}
"""The headers of 503 where one route refuses and the process works: the gateway neither repeats such a request nor
counts it as a failure of the process."""

_UNAVAILABLE = Problem(
    status=503,
    code="unavailable",
    detail="Something that this needs is busy or does not answer. Try again in a moment.",
    headers=RETRY_SOON,
)

_FIXED: tuple[tuple[_ErrorTypes, Problem], ...] = (
    (CacheUnavailable, replace(_UNAVAILABLE, headers=RETRY_SOON_HERE)),
    (
        drf_exceptions.NotAuthenticated,
        Problem(status=401, code="token_missing", detail="Send an access token: 'Authorization: Bearer <token>'."),
    ),
    (
        (Http404, drf_exceptions.NotFound),
        Problem(status=404, code="not_found", detail="There is nothing at this address."),
    ),
    (
        django_exceptions.PermissionDenied,
        Problem(status=403, code="permission_denied", detail="This is not allowed."),
    ),
    (
        django_exceptions.RequestDataTooBig,
        Problem(status=413, code="body_too_large", detail="The body is larger than this server accepts."),
    ),
    (
        UnreadablePostError,
        Problem(status=400, code="body_unreadable", detail="The body ended before it was complete."),
    ),
    (
        UnsupportedContentCoding,
        Problem(
            status=415,
            code="unsupported_content_coding",
            detail="Send the body without a Content-Encoding; this server decodes none.",
            headers={"Accept-Encoding": "identity"},
        ),
    ),
    (
        UnsupportedCharset,
        Problem(
            status=415,
            code="unsupported_charset",
            detail="Send the body in UTF-8, with the Content-Type 'application/json'.",
            headers={"Accept": "application/json"},
        ),
    ),
    (
        (django_exceptions.SuspiciousOperation, django_exceptions.BadRequest, MultiPartParserError),
        Problem(status=400, code="bad_request", detail="The request is malformed."),
    ),
)
"""Errors that are always answered with the same document. The first entry that matches is used."""


class ProblemResponse(HttpResponse):
    """A rendered problem document; `data` is the document before rendering. `path` is empty where it is not known."""

    def __init__(self, problem: Problem, *, path: str) -> None:
        self.data = {
            "type": f"/problems/{problem.code}",
            "title": problem.code.replace("_", " ").capitalize(),
            "status": problem.status,
            "detail": problem.detail,
            **({"instance": quote(path, safe="/:@!$&'()*+,;=~")} if path else {}),
            "code": problem.code,
            "correlation_id": correlation.current(),
            **problem.members,
        }
        # Escaped to ASCII: some details quote what the client sent, and not all of that can be encoded.
        body = json.dumps(self.data, cls=JSONEncoder, separators=(",", ":"))
        super().__init__(body, content_type=CONTENT_TYPE, status=problem.status, headers=_headers(problem))
        self.headers["Content-Length"] = str(len(self.content))


def exception_handler(exc: Exception, context: Mapping[str, Any]) -> HttpResponse | None:
    """DRF's EXCEPTION_HANDLER. None for an unforeseen error: Django logs its traceback, once, and calls handler500."""
    return respond(exc, context["request"])


def respond(exc: Exception, request: HttpRequest | Request) -> ProblemResponse | None:
    """The problem document for an error; None for an unforeseen error."""
    problem = problem_of(exc, request)
    if problem is None:
        return None
    # One line without a traceback: the failure is outside this process. An outage has one line for all its requests.
    if problem is _UNAVAILABLE and not outages.note(exc):
        log.warning("request refused", reason="a dependency does not answer", error=f"{type(exc).__name__}: {exc}")
    return ProblemResponse(problem, path=request.path)


def problem_of(exc: Exception, request: HttpRequest | Request) -> Problem | None:
    """The problem to answer the error with, without details for developers; None for an unforeseen error."""
    match exc:
        case errors.DomainError():
            return _of_domain(exc)
        case drf_exceptions.ValidationError():
            return _of_validation(exc.detail, request)
        case django_exceptions.ValidationError():
            return _of_validation(as_serializer_error(exc), request)
    for types, problem in _FIXED:
        if isinstance(exc, types):
            return problem
    if isinstance(exc, drf_exceptions.APIException):
        return _of_drf(exc)
    return _UNAVAILABLE if is_transient(exc) else None


def _of_domain(exc: errors.DomainError) -> Problem:
    status = next((STATUS_OF[cls] for cls in type(exc).__mro__ if cls in STATUS_OF), 400)
    headers = {}
    if exc.retry_after is not None:
        headers["Retry-After"] = str(max(1, math.ceil(exc.retry_after.total_seconds())))
    return Problem(status=status, code=exc.code, detail=exc.message, members=exc.details, headers=headers)


def _of_drf(exc: drf_exceptions.APIException) -> Problem:
    headers = {}
    if wait := getattr(exc, "wait", None):
        headers["Retry-After"] = str(int(wait))
    if isinstance(exc, drf_exceptions.UnsupportedMediaType):
        headers["Accept"] = "application/json"
    detail = exc.detail if isinstance(exc.detail, str) else exc.default_detail
    code = getattr(exc.detail, "code", None) or exc.default_code
    return Problem(status=exc.status_code, code=code, detail=str(detail), headers=headers)


def _of_validation(detail: Any, request: HttpRequest | Request) -> Problem:
    in_query = request.method in {"GET", "HEAD", "DELETE"}
    mistakes = [
        {
            **({"parameter": ".".join(path)} if in_query else {"pointer": pointer(path)}),
            "code": getattr(leaf, "code", None) or "invalid",
            "detail": str(leaf),
        }
        for path, leaf in islice(_leaves(detail), MOST_MISTAKES)
    ]
    text = f"The {'query' if in_query else 'body'} of the request is not valid; see `errors`."
    return Problem(status=400, code="validation_failed", detail=text, members={"errors": mistakes})


def _leaves(detail: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Each message of DRF's nested error structure with its path.

    All messages of a list have the same path; in a list of dictionaries the index is part of the path.
    """
    if isinstance(detail, Mapping):
        for key, value in detail.items():
            inner = path if key == api_settings.NON_FIELD_ERRORS_KEY else (*path, str(key))
            yield from _leaves(value, inner)
    elif isinstance(detail, list | tuple):
        for index, value in enumerate(detail):
            inner = (*path, str(index)) if isinstance(value, Mapping | list | tuple) else path
            yield from _leaves(value, inner)
    else:
        yield path, detail


def pointer(path: tuple[str, ...]) -> str:
    """A JSON pointer as a URI fragment (RFC 6901, 6)."""
    return "#" + "".join("/" + quote(part.replace("~", "~0").replace("/", "~1"), safe="~") for part in path)


def _headers(problem: Problem) -> dict[str, str]:
    """The problem's headers, and the challenge that RFC 6750 requires with 401 and with a missing scope."""
    match problem.code:
        case "token_invalid" | "token_expired":
            challenge = f'{REALM}, error="invalid_token", error_description="{problem.detail}"'
        case "insufficient_scope":
            challenge = f'{REALM}, error="insufficient_scope", scope="{problem.members.get("required_scope", "")}"'
        case _ if problem.status == HTTPStatus.UNAUTHORIZED:
            challenge = REALM
        case _:
            return dict(problem.headers)
    return {**problem.headers, "WWW-Authenticate": challenge}
