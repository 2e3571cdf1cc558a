"""Conditional requests (RFC 9110, 13): strong ETags, 304 for what the caller has, 412 for a change of another state.

    @conditional_read                                 # GET: ETag, If-None-Match
    def get(self, request: Request, …) -> Response:
        return tagged(data, version=order.version)

    @idempotent(using="orders")
    @conditional_change()                             # If-Match; with required=True, 428 without it
    def post(self, request: Request, …, *, precondition: Precondition) -> Response:
        order = commands.cancel_order(…, precondition=precondition)
        return tagged(data, version=order.version)

A tag is the version of the state and a digest of the representation: `"3-9f86d081884c7d65"`. The digest makes equal
tags mean equal bytes, whatever happened to the row, to the code, or to the account that the caller's cache was filled
for. A read model has no version: its tag is the digest, which a rebuild and another instance make again. A change
compares the version alone, so a caller that has only the `version` of a representation may send `If-Match: "3"`.

A repeat of a request with an Idempotency-Key is answered before its precondition is evaluated: the state has changed by
the first one. Lists have no tags: they would have to be read anyway, and compression saves more.
"""

import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from http import HTTPStatus
from typing import Any, Self, TypeVar, cast

from django.http.response import HttpResponseBase
from rest_framework.exceptions import APIException
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from pangaea.api import describing
from pangaea.api.describing import Operation

ETAG = "ETag"
ANY = "*"
_ONE = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
_LIST = re.compile(rf"[ \t,]*{_ONE}(?:[ \t]*,[ \t,]*{_ONE})*[ \t,]*")
"""RFC 9110, 5.6.1: recipients accept empty elements. A tag may have commas."""
_TAG = re.compile(r'(W/)?"([^"]*)"')
_VERSION = re.compile(r"([1-9][0-9]{0,18})(-[0-9a-f]+)?", re.ASCII)
_OF_304 = ("Cache-Control", "Content-Location", "Date", ETAG, "Expires", "Vary")
"""The fields of a 200 that a 304 has too (RFC 9110, 15.4.5)."""
_EXAMPLE = '"3-9f86d081884c7d65"'
_PATTERN = r'^(\*|(W/)?"[!#-~]*"(, *(W/)?"[!#-~]*")*)$'

Method = TypeVar("Method", bound=Callable[..., HttpResponseBase])


class Outdated(APIException):
    """The state is not one that the caller's condition allows."""

    status_code = HTTPStatus.PRECONDITION_FAILED
    default_code = "precondition_failed"
    default_detail = "This has changed since you read it. Read it again, and decide again."


class Unconditional(APIException):
    """The operation needs a condition, so that no change is lost."""

    status_code = HTTPStatus.PRECONDITION_REQUIRED
    default_code = "precondition_required"
    default_detail = "Send the ETag of what you read as If-Match, so that a change in between is not overwritten."


class Malformed(APIException):
    """The condition of a change cannot be read. It is not ignored: the caller relies on it."""

    status_code = HTTPStatus.BAD_REQUEST
    default_code = "precondition_malformed"
    default_detail = 'The condition is no list of entity tags like If-Match: "3-9f86d081884c7d65", nor *.'


@dataclass(frozen=True, slots=True)
class Tag:
    """An entity tag."""

    opaque: str
    is_weak: bool = False

    @property
    def version(self) -> int | None:
        """The version of the state that it names; None if it names none."""
        found = _VERSION.fullmatch(self.opaque)
        return int(found[1]) if found else None

    @classmethod
    def read(cls, header: str) -> "list[Self] | None":
        """The tags of an If-Match or If-None-Match header, not `*`; None for a header that is malformed."""
        if not _LIST.fullmatch(header):
            return None
        return [cls(each[2], bool(each[1])) for each in _TAG.finditer(header)]


@dataclass(frozen=True, slots=True)
class Precondition:
    """What the caller requires of the state that a change begins with. Call it with the version of the locked row.

    `allowed` are the versions of If-Match, None where every one is; `refused` are those of If-None-Match, None where
    every one is. Raises Outdated (412 `precondition_failed`).
    """

    allowed: frozenset[int] | None = None
    refused: frozenset[int] | None = frozenset()

    def __call__(self, version: int) -> None:
        if (
            (self.allowed is not None and version not in self.allowed)
            or self.refused is None
            or version in self.refused
        ):
            raise Outdated

    @classmethod
    def of(cls, request: Request, *, required: bool) -> Self:
        """The request's precondition.

        Raises Unconditional (428) where it is required and missing, and Malformed (400) where it cannot be read.
        """
        present = {name: request.headers[name] for name in ("If-Match", "If-None-Match") if name in request.headers}
        if required and "If-Match" not in present:
            raise Unconditional
        tags = {name: None if header.strip() == ANY else Tag.read(header) or [] for name, header in present.items()}
        if any(each == [] for each in tags.values()):
            raise Malformed
        # If-Match compares strongly: a weak tag matches nothing. If-None-Match compares weakly.
        allowed, refused = tags.get("If-Match"), tags.get("If-None-Match", [])
        return cls(
            allowed=None
            if allowed is None
            else frozenset(v for each in allowed if not each.is_weak and (v := each.version)),
            refused=None if refused is None else frozenset(v for each in refused if (v := each.version)),
        )


def tagged(
    data: Any, *, version: int | None = None, status: int = HTTPStatus.OK, headers: Mapping[str, str] | None = None
) -> Response:
    """A response with this data and its strong ETag."""
    digest = blake2b(JSONRenderer().render(data), digest_size=8).hexdigest()
    tag = f'"{digest}"' if version is None else f'"{version}-{digest}"'
    return Response(data, status, headers={**(headers or {}), ETAG: tag})


def conditional_read(method: Method) -> Method:
    """Decorate a view's GET, which returns a `tagged` response: 304 where the caller has it (If-None-Match).

    A malformed condition is ignored: the caller then gets the whole answer.
    """

    @functools.wraps(method)
    def answer(view: APIView, request: Request, *args: Any, **kwargs: Any) -> HttpResponseBase:
        response = method(view, request, *args, **kwargs)
        if response.status_code == HTTPStatus.OK and _has(request, response.headers[ETAG]):
            fields = {name: response.headers[name] for name in _OF_304 if name in response.headers}
            return Response(status=HTTPStatus.NOT_MODIFIED, headers=fields)
        return response

    answer.conditional = "read"  # type: ignore[attr-defined] # its mark
    return cast("Method", answer)


def conditional_change(*, required: bool = False) -> Callable[[Method], Method]:
    """Decorate a view's unsafe method, which gets the caller's `precondition` and returns a `tagged` response.

    The command calls the precondition with the version of the row that it has locked: of two writers that know the same
    state, one succeeds.
    """

    def decorate(method: Method) -> Method:
        @functools.wraps(method)
        def answer(view: APIView, request: Request, *args: Any, **kwargs: Any) -> HttpResponseBase:
            precondition = Precondition.of(request, required=required)
            return method(view, request, *args, precondition=precondition, **kwargs)

        answer.conditional = "required" if required else "optional"  # type: ignore[attr-defined] # its mark
        return cast("Method", answer)

    return decorate


def returns_tag(method: Method) -> Method:
    """Decorate a view's unsafe method that creates something, and returns it as a `tagged` response."""
    method.conditional = "created"  # type: ignore[attr-defined] # its mark
    return method


def describe(view: APIView, method: str, operation: Operation) -> None:
    """Add the condition, the tag of the answers, and the answers to a condition that is not met."""
    kind = getattr(getattr(view, method.lower(), None), "conditional", None)
    if kind is None:
        return
    tag = {
        "description": "The strong tag of the representation: its version, and a digest (RFC 9110, 8.8.3).",
        "required": True,
        "schema": {"type": "string", "pattern": '^"([1-9][0-9]*-)?[0-9a-f]{16}"$'},
        "example": _EXAMPLE,
    }
    if kind == "read":
        text = "Answer 304 if the tag is still one of these. What is no list of tags is ignored."
        describing.add_parameter(operation, _parameter("If-None-Match", text, {"type": "string"}))
        operation["responses"]["304"] = {"description": "The caller has the present representation."}
        describing.add_header(operation, ETAG, tag, statuses=("200", "304"))
        return
    describing.add_header(operation, ETAG, tag, statuses=("2XX",))
    if kind == "created":
        return
    text = "Change only a state with one of these tags. The `version` of a representation in quotes does too."
    schema = {"type": "string", "pattern": _PATTERN}
    parameter = _parameter("If-Match", text, schema) | {"required": kind == "required"}
    describing.add_parameter(operation, parameter)
    describing.add_problems(operation, "precondition_failed", "precondition_malformed")
    if kind == "required":
        describing.add_problems(operation, "precondition_required")
    location = {
        "description": "The address of the representation, where it is not that of the request (RFC 9110, 8.7).",
        "schema": {"type": "string", "format": "uri-reference"},
    }
    describing.add_header(operation, "Content-Location", location, statuses=("2XX",))


def _has(request: Request, tag: str) -> bool:
    header = request.headers.get("If-None-Match", "")
    return header.strip() == ANY or any(each.opaque == tag.strip('"') for each in Tag.read(header) or ())


def _parameter(name: str, description: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "in": "header",
        "required": False,
        "description": description,
        "schema": dict(schema),
        "example": _EXAMPLE,
    }
