"""The correlation id, which follows a request through messages into the handlers of other modules."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from pangaea.ids import uuid7

HEADER = "X-Correlation-ID"
_VALID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def current() -> str:
    """The id of the current request or message; outside both, a random id per call."""
    return str(structlog.contextvars.get_contextvars().get("correlation_id") or uuid7())


@contextmanager
def scope(id: str | None) -> Iterator[str]:  # noqa: A002 - scope(id) reads best
    """Work under this id, in this thread. None, or an id that is unsafe in a header, is replaced by a random id."""
    chosen = id if id and _VALID.fullmatch(id) else str(uuid7())
    with structlog.contextvars.bound_contextvars(correlation_id=chosen):
        yield chosen
