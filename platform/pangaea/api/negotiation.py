"""Which formats of an answer a client accepts (RFC 9110, 12.5.1). There is one: JSON."""

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from rest_framework.exceptions import NotAcceptable
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

if TYPE_CHECKING:
    from rest_framework.views import APIView  # the settings make APIView import this file

JSON = "application/json"
PROBLEM = "application/problem+json"
_RANGE = re.compile(r"\s*([^\s/;*]+/[^\s/;*]+|[^\s/;*]+/\*|\*/\*)\s*(?:;.*)?", re.DOTALL)
_WEIGHT = re.compile(r";\s*q=(0(?:\.[0-9]*)?|1(?:\.0*)?)\s*(?:;|$)")


class AcceptsJSON(DefaultContentNegotiation):
    """Selects JSON, unless the Accept header refuses it: then raises NotAcceptable (406).

    A caller without a token, or without the scope, is answered with that first, as at the gateway, which verifies
    tokens and does not read the Accept header.
    """

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        """The view's only renderer, and its media type."""
        if not accepts_json(request.headers.get("Accept", "")):
            view: APIView = request.parser_context["view"]
            view.perform_authentication(request)
            view.check_permissions(request)
            raise NotAcceptable
        renderer = next(iter(renderers))
        return renderer, renderer.media_type


def accepts_json(header: str) -> bool:
    """Whether a client with this Accept header accepts answers in JSON.

    The most specific range decides: `*/*, application/json;q=0` refuses JSON. A client that accepts problem documents
    accepts JSON, of which they are a kind, unless it refuses `application/json` by name. Malformed ranges are ignored,
    and a header with no other range accepts everything, as an empty one does.
    """
    weights: dict[str, float] = {}
    for media_range, weight in _ranges(header):
        weights[media_range] = max(weight, weights.get(media_range, 0.0))
    if not weights or JSON in weights:
        return weights.get(JSON, 1.0) > 0
    wildcard = weights.get("application/*", weights.get("*/*", 0.0))
    return max(wildcard, weights.get(PROBLEM, 0.0)) > 0


def _ranges(header: str) -> Iterator[tuple[str, float]]:
    """Each well-formed media range with its weight, which is 1 if it has none or a malformed one."""
    for each in header.lower().split(","):
        if found := _RANGE.fullmatch(each):
            weight = _WEIGHT.search(each)
            yield found[1], float(weight[1]) if weight else 1.0
