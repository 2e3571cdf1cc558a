"""The correlation id, which follows one request through messages into the handlers of other modules."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from pangaea.ids import uuid7

HEADER = "X-Correlation-ID"
QUIET_PATHS = frozenset({"/livez", "/readyz", "/startupz"})
"""Requests that come every second and say nothing."""
_VALID = re.compile(r"[A-Za-z0-9._-]{1,64}")
access_log = structlog.get_logger("pangaea.access")


def current() -> str:
    """The id of what is being worked on here; outside of any request or message a fresh one each time."""
    return str(structlog.contextvars.get_contextvars().get("correlation_id") or uuid7())


@contextmanager
def scope(id: str | None) -> Iterator[str]:  # noqa: A002 - scope(id) reads best
    """Work on something under this id, in this thread. None, or what is no safe id, becomes a fresh one."""
    chosen = id if id and _VALID.fullmatch(id) else str(uuid7())
    with structlog.contextvars.bound_contextvars(correlation_id=chosen):
        yield chosen


class RequestMiddleware:
    """Takes or makes the correlation id, gives it back in the response, writes one line per request.

    The line has the path without the query string: that may hold what is nobody's business.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        started = time.perf_counter()
        with scope(request.headers.get(HEADER)) as id_:
            response = self._get_response(request)
            response.headers[HEADER] = id_
            if request.path_info not in QUIET_PATHS:
                access_log.info(
                    "request",
                    method=request.method,
                    path=request.path_info,
                    status=response.status_code,
                    duration_ms=round((time.perf_counter() - started) * 1000, 1),
                )
        return response
