"""SIGTERM and SIGINT, and the time that a process has left after one."""

import signal
import threading
from queue import SimpleQueue
from typing import Any

from django.conf import settings

from pangaea.health import readiness

LAST_STEPS = 1.0
"""Seconds of SHUTDOWN_GRACE that are kept for what comes after the work itself."""


def set_on_signal(event: threading.Event) -> None:
    """Set the event on SIGTERM and SIGINT from here on. A command calls it before it waits for anything.

    In a thread: a handler that takes a lock which the interrupted code, or the handler before it, holds never ends.
    """
    told: SimpleQueue[int] = SimpleQueue()

    def obey() -> None:
        while told.get():
            event.set()

    def hear(number: int, _frame: Any) -> None:
        readiness.begin_shutdown()
        told.put(number)

    threading.Thread(target=obey, name="signals", daemon=True).start()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, hear)


def grace() -> float:
    """Seconds for the work itself when the process is told to stop."""
    return max(0.0, float(settings.PANGAEA.shutdown_grace.total_seconds()) - LAST_STEPS)
