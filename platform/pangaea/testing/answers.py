"""Every answer that a test gets is compared with the OpenAPI document, and so is each request that was accepted."""

import functools
import json
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from pangaea.testing.documented import DocumentedAPI, Operation

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

OF_EVERY_ANSWER = frozenset(
    {
        *(
            "allow",
            "connection",
            "content-length",
            "content-type",
            "date",
            "server",
            "transfer-encoding",
            "vary",
            "x-envoy-upstream-service-time",
        ),
        *("content-security-policy", "cross-origin-opener-policy", "referrer-policy", "strict-transport-security"),
        *(
            "content-encoding",
            "x-request-id",
            "x-content-type-options",
            "x-frame-options",
            "access-control-allow-origin",
            "access-control-expose-headers",
        ),
    }
)
"""Headers of HTTP itself, of proxies, of browsers' protection and of CORS. No operation documents them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """A request and its answer. `request` is None where the request's body is not known."""

    method: str
    url: str
    request: bytes | None = None
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.url).path


def verify_exchange(exchange: Exchange, *, api: DocumentedAPI | None = None) -> None:
    """Raise AssertionError for an answer that the document does not have, or an accepted request that it forbids.

    The answer's status, media type, body, problem code and headers must be documented for the operation. A request that
    was answered with 2xx must be valid by the operation's parameters and body: the document is not stricter than the
    server. Paths and methods that the document does not have are not compared. Without `api` the document is that of
    all modules of this process.
    """
    api = api or documented()
    operation = api.find("GET" if exchange.method == "HEAD" else exchange.method, exchange.path)
    if operation is None:
        return
    mistakes = [*_answer_mistakes(api, operation, exchange)]
    if exchange.status < HTTPStatus.MULTIPLE_CHOICES:
        mistakes += _request_mistakes(api, operation, exchange)
    if mistakes:
        title = f"{exchange.method} {exchange.url} was answered with {exchange.status}, and {operation.name} differs:"
        raise AssertionError("\n  - ".join([title, *mistakes]))


@functools.cache
def documented() -> DocumentedAPI:
    """The document of all modules of this process."""
    from pangaea.api.openapi import document

    return DocumentedAPI(document.build()[0])


def _answer_mistakes(api: DocumentedAPI, operation: Operation, exchange: Exchange) -> Iterator[str]:
    key = str(exchange.status) if str(exchange.status) in operation.responses else "default"
    response = operation.responses.get(key)
    if response is None:
        yield f"responses: there is no {exchange.status}"
        return
    headers = {name.lower(): value for name, value in exchange.headers.items()}
    place = f"responses/{key}"
    yield from _header_mistakes(api, response, headers, place)
    if exchange.method == "HEAD":
        return
    content = response.get("content", {})
    media_type = headers.get("content-type", "").partition(";")[0]
    if not content:
        if exchange.body:
            yield f"{place}: it has no content, and the answer has {exchange.body[:200]!r}"
        return
    if media_type not in content:
        yield f"{place}/content: there is no {media_type or 'answer without a body'!r}"
        return
    value = json.loads(exchange.body)
    yield from api.mistakes(content[media_type]["schema"], value, place, closed=True)
    if media_type == "application/problem+json":
        yield from _problem_mistakes(api, value, content[media_type], exchange, place)


def _problem_mistakes(
    api: DocumentedAPI, problem: Mapping[str, Any], content: Mapping[str, Any], exchange: Exchange, place: str
) -> Iterator[str]:
    """The names of the examples are the codes that an answer may have, and an example has all members of its code."""
    code, examples = problem.get("code"), content.get("examples", {})
    if code not in examples:
        yield (
            f"{place}: it has no code {code!r}. Declare it beside the view, `problems = {{"
            f'"{exchange.method.lower()}": ("{code}", …)}}`, or in the `describe` of its mechanism'
        )
        return
    known = api.resolved(content["schema"]).get("properties", {}).keys() | api.resolved(examples[code])["value"].keys()
    for name in sorted(problem.keys() - known):
        yield f"{place}: {code} has no member {name}: add it to the `example` of the ProblemType"


def _header_mistakes(
    api: DocumentedAPI, response: Mapping[str, Any], headers: Mapping[str, str], place: str
) -> Iterator[str]:
    known = {name.lower(): api.resolved(header) for name, header in response.get("headers", {}).items()}
    for name, header in known.items():
        if name in headers:
            value = _typed(headers[name], header["schema"])
            yield from api.mistakes(header["schema"], value, f"{place}/headers/{name}")
        elif header.get("required"):
            yield f"{place}/headers: the answer has no {name}"
    for name in sorted(headers.keys() - known.keys() - OF_EVERY_ANSWER):
        yield f"{place}/headers: there is no {name}, which the answer has: {headers[name]!r}"


def _request_mistakes(api: DocumentedAPI, operation: Operation, exchange: Exchange) -> Iterator[str]:
    parameters = {(each["in"], each["name"]): each for each in operation.parameters}
    for name, text in parse_qsl(urlsplit(exchange.url).query, keep_blank_values=True):
        if parameter := parameters.get(("query", name)):
            schema = parameter["schema"]
            yield from api.mistakes(schema, _typed(text, schema), f"parameters/query/{name}")
    for name, text in operation.path_values.items():
        if parameter := parameters.get(("path", name)):
            yield from api.mistakes(parameter["schema"], text, f"parameters/path/{name}")
    if exchange.request and "requestBody" in operation.content:
        schema = operation.content["requestBody"]["content"]["application/json"]["schema"]
        # Lengths of names are counted in the composed spelling (`pangaea.text`).
        text = unicodedata.normalize("NFC", exchange.request.decode())
        yield from api.mistakes(schema, json.loads(text), "requestBody")


def _typed(text: str, schema: Mapping[str, Any]) -> Any:
    """The text of a parameter or header as the value that its schema describes."""
    if schema.get("type") == "integer" and text.removeprefix("-").isdecimal():
        return int(text)
    if schema.get("type") == "boolean" and text in {"true", "false"}:
        return text == "true"
    return text


class AnswersMiddleware:
    """Verifies every answer of the profile `test`, whichever client the test uses. The outermost middleware.

    Tests that replace the URLs of the process are left alone: the document does not describe theirs.
    """

    def __init__(self, get_response: Callable[["HttpRequest"], "HttpResponseBase"]) -> None:
        self._get_response = get_response

    def __call__(self, request: "HttpRequest") -> "HttpResponseBase":
        body = _body(request)
        response = self._get_response(request)
        if getattr(request, "urlconf", None) is None and _has_own_urls() and not response.streaming:
            verify_exchange(
                Exchange(
                    method=request.method or "",
                    url=request.get_full_path(),
                    request=body,
                    status=response.status_code,
                    headers=dict(response.items()),
                    body=response.content,  # type: ignore[attr-defined] # it is not streaming
                )
            )
        return response


def _has_own_urls() -> bool:
    from django.urls import get_resolver

    return get_resolver().urlconf_name == "pangaea.urls"


def _body(request: "HttpRequest") -> bytes | None:
    """The body that Django's test client sends; None for another client's, which may be infinite or unreadable."""
    from django.conf import settings
    from django.test.client import FakePayload

    length = int(request.META.get("CONTENT_LENGTH") or 0)
    known = isinstance(request.META.get("wsgi.input"), FakePayload) and length <= settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    return request.body if known else None
