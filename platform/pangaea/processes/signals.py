"""SIGTERM and SIGINT, and the time that a process has left after one."""

import signal
import threading
from queue import SimpleQueue
from typing import Any

from django.conf import settings

from pangaea.health import readiness

RESERVED_FOR_EXIT = 1.0
"""Seconds of SHUTDOWN_GRACE that are reserved for the steps after the work itself."""


def set_on_signal(event: threading.Event) -> None:
    """Set the event on SIGTERM and SIGINT from now on. A command calls this before it waits for anything.

    A thread sets the event: a signal handler that takes a lock held by the code that it interrupts, or by an earlier
    handler, would never return.
    """
    received: SimpleQueue[int] = SimpleQueue()

    def set_event() -> None:
        while received.get():
            event.set()

    def on_signal(number: int, _frame: Any) -> None:
        readiness.begin_shutdown()
        received.put(number)

    threading.Thread(target=set_event, name="signals", daemon=True).start()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)


def grace() -> float:
    """Seconds that the work itself may take after a signal."""
    return max(0.0, float(settings.PANGAEA.shutdown_grace.total_seconds()) - RESERVED_FOR_EXIT)
