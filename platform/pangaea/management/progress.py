"""A progress display: one updating line on a terminal, occasional lines elsewhere."""

from time import monotonic
from typing import Protocol

WIDTH = 30
REDRAW_INTERVAL = {True: 0.1, False: 5.0}
"""Seconds between two updates: on a terminal (True) and elsewhere (False)."""


class Output(Protocol):
    """A text stream, or a management command's wrapper of one."""

    def write(self, text: str, /) -> object: ...

    def flush(self) -> object: ...

    def isatty(self) -> bool: ...


class Bar:
    """Writes to one stream. Use stderr, so that stdout holds the command's result alone."""

    def __init__(self, stream: Output, title: str) -> None:
        self._stream, self._title = stream, title
        self._terminal = stream.isatty()
        self._drawn_at = float("-inf")
        self._drawn = ""

    def show(self, done: int, total: int) -> None:
        """Write the progress, unless it was written less than REDRAW_INTERVAL ago."""
        if monotonic() - self._drawn_at < REDRAW_INTERVAL[self._terminal]:
            return
        self._draw(done, total, without_total="the number of messages is not known yet")

    def interrupt(self, text: str) -> None:
        """Write a line of text; the progress follows below it."""
        self._stream.write(f"\r\x1b[K{text}\n" if self._terminal else f"{text}\n")
        self._stream.flush()
        self._drawn = ""

    def finish(self, done: int, total: int) -> None:
        """Write the final progress and end the line."""
        self._draw(done, total, without_total="there are no messages")
        if self._terminal:
            self._stream.write("\n")
        self._drawn = ""

    def _draw(self, done: int, total: int, *, without_total: str) -> None:
        self._drawn_at = monotonic()
        line = f"{self._title}: {self._share(done, total) if total else without_total}"
        if line != self._drawn:
            self._drawn = line
            self._stream.write(f"\r\x1b[K{line}" if self._terminal else f"{line}\n")
            self._stream.flush()

    def _share(self, done: int, total: int) -> str:
        share = min(done / total, 1.0)
        filled = round(WIDTH * share)
        bar = f"[{'#' * filled}{'.' * (WIDTH - filled)}] " if self._terminal else ""
        # Rounded down, so that 100% appears only at the end.
        return f"{bar}{done:,} of {total:,} messages ({int(100 * share)}%)"
