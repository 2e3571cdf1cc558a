"""Unsafe requests that may be repeated: `Idempotency-Key`, as in Stripe's v2 API.

    @extend_schema(operation_id="orders_place_order", …)
    @idempotent(using="orders")
    def post(self, request: Request) -> Response: …

A request that succeeded is not executed again, one that failed is. A key belongs to the caller, the method and the
route. The record of it is written in the transaction of the effects and of their messages, which this decorator opens,
so a process that is killed leaves all or nothing.
"""

import functools
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import KW_ONLY, dataclass
from datetime import timedelta
from http import HTTPStatus
from typing import Any, Final, TypeVar, cast
from uuid import UUID

import structlog
from django.db import connections, transaction
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.urls import Resolver404, ResolverMatch, resolve, reverse
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from pangaea.api import describing, problems
from pangaea.api import idempotency_keys as keys
from pangaea.api.describing import Operation
from pangaea.api.idempotency_records import IdempotencyRecord
from pangaea.databases import engines
from pangaea.databases.rows import instances
from pangaea.errors import Conflict, Invalid, Misuse
from pangaea.identity.principal import Principal

log = structlog.get_logger()

CONTENT_TYPE: Final = "Content-Type"
REPLAYED: Final = "Idempotent-Replayed"

CODES: Final = ("idempotency_key_malformed", "idempotency_key_in_use", "idempotency_key_reused", "not_found")
"""The problems of every operation that takes a key. `not_found`: what a late repeat asks for may be deleted."""
LATE: Final = "The answer to a repeat whose first answer has expired: the resource in its present state."
LOCATION: Final[Mapping[str, Any]] = {
    "description": "Where the resource is. A late repeat has it.",
    "schema": {"type": "string", "format": "uri-reference"},
    "example": "/api/v1/orders/01978f3e-5b7a-7c4e-9d2f-3a6b8c1d4e5f",
}
TAG: Final = {
    "description": "The tag of the resource, where reading it gives one (RFC 9110, 8.8.3).",
    "schema": {"type": "string"},
    "example": '"3-9f86d081884c7d65"',
}
MARK: Final = {
    "description": "`true` where the request was a repeat, and this is not its own answer. Absent otherwise.",
    "schema": {"type": "string", "const": "true"},
    "example": "true",
}
RETRY_AFTER: Final = {
    "description": "With the code `idempotency_key_in_use`: seconds to wait before the request is repeated.",
    "schema": {"type": "integer", "minimum": 0},
    "example": 1,
}

Method = TypeVar("Method", bound=Callable[..., HttpResponseBase])


class KeyInUse(Conflict):
    """A request with this key is being executed. Repeat it: the answer then is that request's."""

    retry_after = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Declaration:
    """How a view's method treats repeats, as for `idempotent`; or why it takes no key (`because`)."""

    required: bool = False
    resource: str = ""
    because: str = ""


def declaration_of(view: object, method: str) -> Declaration | None:
    """The declaration of a view, or of its class, for an HTTP method."""
    return getattr(getattr(view, method.lower(), None), "idempotency", None)


def idempotent(*, using: str, required: bool = False, resource: str = "") -> Callable[[Method], Method]:
    """Decorate a view's method, whose transaction on `using` is opened here: the view itself opens none.

    A repeat with the same key gets the first answer again, with `Idempotent-Replayed: true`. Failures are not recorded:
    an error that is raised, or an answer from 400 on, rolls the transaction back. With `required` a request without a
    key is refused. `resource` names the URL pattern of what the method changes, with the same arguments as the method's
    own pattern; by default it is the answer's Location. A late repeat gets the resource in its present state.
    """

    def decorate(method: Method) -> Method:
        @functools.wraps(method)
        def keyed(view: APIView, request: Request, *args: Any, **kwargs: Any) -> HttpResponseBase:
            call = functools.partial(method, view, request, *args, **kwargs)
            key = keys.key_of(request, required=required)
            # Reads and parses the body before a transaction is open, which no slow client may hold open.
            content = keys.content_of(request)
            if key is None:
                with transaction.atomic(using=using):
                    return _undone_if_failed(call(), using)
            path = reverse(resource, args=args, kwargs=kwargs) if resource else ""
            return KeyedRequest(view, request, key=key, content=content, using=using, resource=path).answer(call)

        keyed.idempotency = Declaration(required=required, resource=resource)  # type: ignore[attr-defined] # its mark
        return cast("Method", keyed)

    return decorate


def not_idempotent(*, because: str) -> Callable[[Method], Method]:
    """Declare that a view's method takes no key: its request or its answer holds what must not be stored."""

    def decorate(method: Method) -> Method:
        method.idempotency = Declaration(because=because)  # type: ignore[attr-defined] # its mark
        return method

    return decorate


def describe(view: APIView, method: str, operation: Operation) -> None:
    """Add the key, the mark of a replay, the problems of keys, and the answer to a late repeat."""
    declaration = declaration_of(view, method)
    if declaration is None or declaration.because:
        return
    describing.add_parameter(operation, _parameter(required=declaration.required))
    describing.add_problems(operation, *CODES, *(["idempotency_key_missing"] if declaration.required else []))
    responses = operation["responses"]
    success: dict[str, Any] = next((responses[each] for each in sorted(responses) if each.startswith("2")), {})
    late = {"description": LATE, "content": deepcopy(success.get("content", {}))}
    location = dict(LOCATION) | {"required": "200" not in responses}
    responses.setdefault("200", late)
    describing.add_header(operation, "Location", location, statuses=["200"])
    describing.add_header(operation, "ETag", TAG, statuses=["200"])
    describing.add_header(operation, REPLAYED, MARK, statuses=["2XX", "403", "404"])
    describing.add_header(operation, "Retry-After", RETRY_AFTER, statuses=["409"])


def _parameter(*, required: bool) -> dict[str, Any]:
    return {
        "name": keys.HEADER,
        "in": "header",
        "required": required,
        "description": "A new key with each new request, the same one with each repeat: a repeat gets the first answer "
        "again and has no second effect. Best a UUID; quoted (RFC 9651) or bare.",
        "schema": {"type": "string", "pattern": keys.PATTERN},
        "example": '"8e03978e-40d5-43dd-bc93-6894a57f9324"',
    }


@dataclass(frozen=True, slots=True)
class KeyedRequest:
    """A request with a key. `resource` is the path of what it changes; empty if the answer's Location is."""

    view: APIView
    request: Request
    _: KW_ONLY
    key: str
    content: bytes
    using: str
    resource: str

    @property
    def subject(self) -> UUID:
        """The caller."""
        return Principal.of(self.request).subject

    @property
    def operation(self) -> str:
        """The method and the route."""
        return f"{self.request.method} {cast('ResolverMatch', self.request.resolver_match).route}"

    def answer(self, call: Callable[[], HttpResponseBase]) -> HttpResponseBase:
        """The answer of the call, or of the earlier request. Raises KeyInUse, and Invalid if that was another one."""
        engine, connection = engines.of(self.using), connections[self.using]
        scope: dict[str, Any] = {"subject": self.subject, "operation": self.operation, "key": self.key}
        find, values = IdempotencyRecord.lookup(connection, **scope)
        with engine.exclusive_transaction(connection, " ".join(map(str, scope.values())), find, *values) as rows:
            if rows is None:
                text = "A request with this Idempotency-Key is being executed. Repeat it."
                raise KeyInUse("idempotency_key_in_use", text)
            if not rows:
                response = _undone_if_failed(call(), self.using)
                if response.status_code < HTTPStatus.BAD_REQUEST:
                    self._record(response, **scope)
                return response
            (record,) = instances(IdempotencyRecord, self.using, rows)
            if not keys.is_of(self.content, record.fingerprint):
                text = "Another request was sent with this Idempotency-Key. Send a new key with each new request."
                raise Invalid("idempotency_key_reused", text)
            record.count_replay()
        # Without the key, which may be personal.
        log.info("request replayed", operation=self.operation, record=record.pk, answer_expired=record.status is None)
        response = record.answer or _present(self.request, record.resource)
        response.headers[REPLAYED] = "true"
        return response

    def _record(self, response: HttpResponseBase, **scope: Any) -> None:
        """Write the record, with the answer as the view gave it: what DRF and middlewares add, they add to a replay."""
        headers = dict(response.headers)
        if isinstance(response, Response):
            response.accepted_renderer = self.request.accepted_renderer
            response.accepted_media_type = self.request.accepted_media_type
            response.renderer_context = self.view.get_renderer_context()  # type: ignore[attr-defined] # DRF's stubs omit it
            response.render()
            headers.pop(CONTENT_TYPE, None)
            if CONTENT_TYPE in response.headers:
                headers[CONTENT_TYPE] = response.headers[CONTENT_TYPE]
        resource = self.resource or headers.get("Location")
        if not resource:
            text = f"The answer to {self.operation} has no Location: name its resource, idempotent(resource=...)."
            raise Misuse(text)
        IdempotencyRecord.objects.using(self.using).create(
            fingerprint=keys.fingerprint(self.content),
            resource=resource,
            status=response.status_code,
            headers=headers,
            body=getattr(response, "content", b""),
            created_at=timezone.now(),
            **scope,
        )


def _undone_if_failed(response: HttpResponseBase, using: str) -> HttpResponseBase:
    """The response. The transaction is rolled back if it is an error."""
    if response.status_code >= HTTPStatus.BAD_REQUEST:
        transaction.set_rollback(True, using=using)
    return response


def _present(request: Request, path: str) -> HttpResponseBase:
    """The resource in its present state: the answer to a GET by the same caller."""
    try:
        match = resolve(path)
    except Resolver404:
        return problems.ProblemResponse(cast("problems.Problem", problems.problem_of(Http404(), request)), path=path)
    get = HttpRequest()
    get.method, get.path, get.path_info, get.resolver_match = "GET", path, path, match
    get.META = _headers_of_a_get(request.META) | {"REQUEST_METHOD": "GET", "PATH_INFO": path}
    response: HttpResponseBase = match.func(get, *match.args, **match.kwargs)
    if response.status_code < HTTPStatus.BAD_REQUEST:
        response.headers["Location"] = path
    return response


def _headers_of_a_get(meta: Mapping[str, Any]) -> dict[str, Any]:
    """The request's own, without its query, its body and its conditions."""
    left_out = ("QUERY_STRING", "CONTENT_", "HTTP_IF_", "HTTP_IDEMPOTENCY_KEY", "HTTP_TRANSFER_ENCODING", "wsgi.input")
    return {name: value for name, value in meta.items() if not name.startswith(left_out)}
