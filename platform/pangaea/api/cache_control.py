"""Cache-Control on every answer (RFC 9111): who may keep it, by what it holds.

| an answer | may be kept |
|---|---|
| an error, to every caller | by no one: `no-store` |
| of a public view, to a read | by any cache, which asks before it uses it: `public, no-cache` |
| with an ETag, of any other view | by the caller, who asks before using it: `private, no-cache`, per token |
| any other | by no one: `private, no-store` |

A view that knows better sets the header: keys, tokens, pages for everyone, static files, probes, the admin.
"""

from collections.abc import Callable
from http import HTTPStatus

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.cache import patch_vary_headers
from rest_framework.views import APIView

HEADER = "Cache-Control"
ERROR = "no-store"
PERSONAL = "private, no-store"
PERSONAL_TAGGED = "private, no-cache"
PUBLIC = "public, no-cache"
PAGE = "no-cache"
"""Of pages for everyone, in the service and at the gateway."""


class CacheControlMiddleware:
    """Sets the header where the answer has none. The outermost but for logging, so that no answer passes it by."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self._get_response(request)
        if HEADER not in response.headers:
            response.headers[HEADER] = directives(request, response)
        if response.headers[HEADER] == PERSONAL_TAGGED:
            # A cache that two accounts share must not answer the second one with what the first one has.
            patch_vary_headers(response, ["Authorization"])
        if response.status_code == HTTPStatus.NOT_MODIFIED:
            # CommonMiddleware counts this answer's bytes, but the field describes those of the 200 (RFC 9110, 8.6).
            response.headers.pop("Content-Length", None)
        return response


def directives(request: HttpRequest, response: HttpResponseBase) -> str:
    """The header of an answer whose view has set none."""
    if response.status_code >= HTTPStatus.BAD_REQUEST:
        return ERROR
    view = getattr(response, "renderer_context", {}).get("view")
    is_read = request.method in {"GET", "HEAD"}
    if is_read and isinstance(view, APIView) and not view.authentication_classes:
        return PUBLIC
    return PERSONAL_TAGGED if is_read and "ETag" in response.headers else PERSONAL
