"""Failures that pass: the same request may succeed in a moment."""

import structlog
from django.db import Error

from pangaea import databases, engines
from pangaea.errors import Unavailable

log = structlog.get_logger()

_BUSY = frozenset(
    {
        "55P03",  # lock_not_available
        "57014",  # query_canceled, by a time-out
        "53300",  # too_many_connections
    }
)
"""Failures to the consumer of messages, which has waited already; a client has not."""


def is_transient(exc: BaseException) -> bool:
    """Whether the error says that a dependency is busy or away, and nothing about the request or our code."""
    if isinstance(exc, Unavailable):
        return True
    if not isinstance(exc, Error):
        return False
    if getattr(exc.__cause__, "sqlstate", None) in _BUSY:
        return True
    return any(engines.of(alias).is_transient(exc) for alias in databases.aliases())


def log_refusal(exc: BaseException) -> None:
    """One line without a traceback: what failed is not here."""
    log.warning("request refused: a dependency does not answer", error=f"{type(exc).__name__}: {exc}")
