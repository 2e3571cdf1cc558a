"""Waits on conditions, generous and explicit about what did not happen; and ports that nobody listens on."""

import socket
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

DEADLINE_SECONDS = 10.0
INTERVAL_SECONDS = 0.01


def wait_until(condition: Callable[[], T], *, what: str, seconds: float = DEADLINE_SECONDS) -> T:
    """The first truthy result of `condition`, asked every 10 ms.

    `what` completes "Still waiting for ...". Raises AssertionError after `seconds`. Exceptions of `condition` pass
    through: a condition that cannot be evaluated is a failure, not a reason to wait.
    """
    deadline = time.monotonic() + seconds
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"Still waiting for {what} after {seconds:g} s; the last answer was {result!r}.")
        time.sleep(INTERVAL_SECONDS)


def free_port() -> int:
    """A TCP port of the loopback that nothing listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
