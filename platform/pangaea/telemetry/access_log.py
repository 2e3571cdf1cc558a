"""One log line per HTTP request, under the request's correlation id."""

import time
from collections.abc import Callable
from http import HTTPStatus

import structlog
from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from pangaea.telemetry import correlation

QUIET_PATHS = frozenset({"/livez", "/readyz", "/startupz"})
"""Paths that are not logged: probes arrive every second, and their lines would only repeat."""
log = structlog.get_logger("pangaea.access")


class AccessLogMiddleware:
    """Accepts or creates a request's correlation id, returns it in the response, and logs one line.

    The line contains the path without the query string, because that may hold private data.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        started = time.perf_counter()
        with correlation.scope(correlation.of_request(request.headers)) as id_:
            response = self._get_response(request)
            response.headers[correlation.HEADER] = id_
            if not self._is_quiet(request, response):
                log.info(
                    "request",
                    method=request.method,
                    path=request.path_info,
                    status=response.status_code,
                    duration_ms=round((time.perf_counter() - started) * 1000, 1),
                )
        return response

    def _is_quiet(self, request: HttpRequest, response: HttpResponseBase) -> bool:
        # A page of the admin has thirty files; one that is missing is logged.
        is_file = (
            request.path_info.startswith(str(settings.STATIC_URL)) and response.status_code < HTTPStatus.BAD_REQUEST
        )
        return is_file or request.path_info in QUIET_PATHS
