"""The Content-Security-Policy of every answer: only files of this host, no inline scripts, no framing.

https://www.w3.org/TR/CSP3/
"""

from collections.abc import Callable, Mapping

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from pangaea.api.fallback import serves_html

HEADER = "Content-Security-Policy"

_EVERYWHERE = {
    "default-src": "'self'",
    "img-src": "'self' data:",  # the pictures inside the style sheets of Swagger UI and unfold
    "object-src": "'none'",
    "base-uri": "'none'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
}
_ADMIN = {
    "script-src": "'self' 'unsafe-eval'",  # Alpine.js evaluates the expressions in unfold's attributes
    "style-src": "'self' 'unsafe-inline'",  # unfold writes its colours into the page, Alpine.js style attributes
}


def _policy(directives: Mapping[str, str]) -> str:
    return "; ".join(f"{name} {sources}" for name, sources in directives.items())


POLICY = _policy(_EVERYWHERE)
"""The policy outside the admin. JSON answers have it too: a browser shows the answer of any address as a page."""
ADMIN_POLICY = _policy(_EVERYWHERE | _ADMIN)


class ContentSecurityMiddleware:
    """Sets POLICY on every answer, and ADMIN_POLICY on the admin's pages. A policy that the view has set is kept."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self._get_response(request)
        response.headers.setdefault(HEADER, ADMIN_POLICY if serves_html(request) else POLICY)
        return response
