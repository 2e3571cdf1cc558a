"""Failures that pass: the same request may succeed in a moment."""

import structlog
from django.db import Error

from pangaea import database_errors
from pangaea.errors import Unavailable

log = structlog.get_logger()


def is_transient(exc: BaseException) -> bool:
    """Whether the error says that a dependency is busy or away, and nothing about the request or our code."""
    if isinstance(exc, Unavailable):
        return True
    return isinstance(exc, Error) and database_errors.kind_of(exc) in database_errors.PASSING


def log_refusal(exc: BaseException) -> None:
    """One line without a traceback: what failed is not here."""
    log.warning("request refused: a dependency does not answer", error=f"{type(exc).__name__}: {exc}")
