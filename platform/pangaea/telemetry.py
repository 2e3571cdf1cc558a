"""Logs and the correlation id, which follows one request through messages into the handlers of other modules."""

import logging
import logging.config
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import structlog
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from structlog.typing import Processor

from pangaea.ids import uuid7

HEADER = "X-Correlation-ID"
QUIET_PATHS = frozenset({"/livez", "/readyz", "/startupz"})
"""Requests that come every second and say nothing."""

_VALID = re.compile(r"[A-Za-z0-9._-]{1,64}")

access_log = structlog.get_logger("pangaea.access")


def correlation_id() -> str:
    """The id of what is being worked on here; outside of any request or message a fresh one each time."""
    return str(structlog.contextvars.get_contextvars().get("correlation_id") or uuid7())


@contextmanager
def correlation(id: str | None) -> Iterator[str]:  # noqa: A002 - correlation(id) reads best
    """Work on something under this id, in this thread. None, or what is no safe id, becomes a fresh one."""
    chosen = id if id and _VALID.fullmatch(id) else str(uuid7())
    with structlog.contextvars.bound_contextvars(correlation_id=chosen):
        yield chosen


def bind(**facts: object) -> AbstractContextManager[None]:
    """Put these facts on every line that is logged inside: `with telemetry.bind(module="orders", position=7):`."""
    return structlog.contextvars.bound_contextvars(**facts)


class RequestMiddleware:
    """Takes or makes the correlation id, gives it back in the response, writes one line per request.

    The line has the path without the query string: that may hold what is nobody's business.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        started = time.perf_counter()
        with correlation(request.headers.get(HEADER)) as id_:
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


class OnlyWithTraceback(logging.Filter):
    """Lets records through that carry an exception."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.exc_info is not None


_ON_EVERY_LINE: tuple[Processor, ...] = (
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
)


def formatter(*, json: bool) -> logging.Formatter:
    """Renders structlog's lines and the standard library's alike."""
    rendering: list[Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)]
        if json
        else [
            # Others, which it takes where they are installed, print local variables too: passwords among them.
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
        ]
    )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_ON_EVERY_LINE,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
    )


def configure(config: Mapping[str, Any]) -> None:
    """Set up logging for this process, from `settings.LOGGING`. Django calls it (LOGGING_CONFIG)."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_ON_EVERY_LINE,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    logging.config.dictConfig(dict(config))
