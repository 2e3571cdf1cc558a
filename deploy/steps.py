"""What is being done, one line per step, with the seconds since the start."""

import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TextIO


class Steps:
    """Writes lines from several threads. A step is announced when it begins."""

    def __init__(self, out: TextIO = sys.stdout) -> None:
        self._out = out
        self._began = time.monotonic()
        self._lock = threading.Lock()

    def __call__(self, text: str, *, lines: Sequence[str] = ()) -> None:
        """Write a step, and below it `lines`: the end of a log, for example."""
        seconds = time.monotonic() - self._began
        self._write(f"{seconds:7.1f} s  {text}\n" + "".join(f"{'':11}| {line}\n" for line in lines))

    def of(self, name: str) -> Callable[[str], None]:
        """A function that writes the steps of a part."""
        return lambda text: self(f"{name}: {text}")

    def plain(self, text: str) -> None:
        """Write a text without the time."""
        self._write(f"{text}\n")

    def _write(self, text: str) -> None:
        # A terminal that was closed must not keep the deployment from being ended in order.
        with self._lock, suppress(OSError):
            self._out.write(text)
            self._out.flush()
