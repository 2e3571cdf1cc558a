"""The correlation id, which follows a request through messages into the handlers of other modules."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import structlog

from pangaea.ids import uuid7

HEADER = "X-Correlation-ID"
REQUEST_HEADER = "X-Request-ID"
"""Where proxies put their own id of a request. It counts where HEADER has no valid id."""
CHARACTERS = r"A-Za-z0-9._:+/=-"
"""What an id consists of, as the inside of a regular expression's brackets: UUIDs, hexadecimal and base64 text, and
HAProxy's unique ids, which join addresses and ports by colons."""
MAX_LENGTH = 128
"""The most characters of an id. The gateway applies these rules too, so that its log and a service's have the same id
of a request."""
_VALID = re.compile(rf"[{CHARACTERS}]{{1,{MAX_LENGTH}}}")


def current() -> str:
    """The id of the current request or message; outside both, a random id per call."""
    return str(structlog.contextvars.get_contextvars().get("correlation_id") or uuid7())


def of_request(headers: Mapping[str, str]) -> str | None:
    """The first valid id among HEADER and REQUEST_HEADER; None where neither has one."""
    ids = (headers.get(name, "") for name in (HEADER, REQUEST_HEADER))
    return next((id_ for id_ in ids if _VALID.fullmatch(id_)), None)


@contextmanager
def scope(id: str | None) -> Iterator[str]:  # noqa: A002 - scope(id) reads best
    """Work under this id, in this thread. None, or an id that is not valid, is replaced by a random id."""
    chosen = id if id and _VALID.fullmatch(id) else str(uuid7())
    with structlog.contextvars.bound_contextvars(correlation_id=chosen):
        yield chosen
