"""Waits on conditions, with a generous limit and an error that names the condition; and free ports."""

import secrets
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")

WAIT_TIMEOUT = 10.0
POLL_INTERVAL = 0.01
PORTS = range(20_000, 32_000)
"""Below the ports of outgoing connections, which begin at 32768 (Linux) or 49152 (RFC 6335)."""
_given: set[int] = set()


def wait_until(condition: Callable[[], T], *, what: str, seconds: float = WAIT_TIMEOUT) -> T:
    """The first truthy result of `condition`, which is called every 10 ms.

    `what` completes "Still waiting for ...". Raises AssertionError after `seconds`. Exceptions of `condition` pass
    through: a condition that cannot be evaluated is a failure, no reason to wait.
    """
    deadline = time.monotonic() + seconds
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"Still waiting for {what} after {seconds:g} s; the last answer was {result!r}.")
        time.sleep(POLL_INTERVAL)


def free_port() -> int:
    """A TCP port of the loopback on which no process listens at this moment. No port is given twice in a process.

    It is none that the system gives to outgoing connections, of which one could take it before a server listens there.
    """
    while True:
        port = secrets.choice(PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            if port not in _given:
                _given.add(port)
                return port
