"""How far something long has come: one line that moves on a terminal, a line now and then elsewhere."""

from time import monotonic
from typing import Protocol

WIDTH = 30
APART = {True: 0.1, False: 5.0}
"""Seconds between two pictures, on a terminal and elsewhere."""


class Paper(Protocol):
    """What a bar is drawn on: a text stream, or a command's wrapper of one."""

    def write(self, text: str, /) -> object: ...

    def flush(self) -> object: ...

    def isatty(self) -> bool: ...


class Bar:
    """Draws on a stream, stderr say, so that what a command answers stays apart."""

    def __init__(self, stream: Paper, title: str) -> None:
        self._stream, self._title = stream, title
        self._terminal = stream.isatty()
        self._drawn_at = float("-inf")
        self._drawn = ""

    def show(self, done: int, total: int) -> None:
        """Draw, unless the last picture is fresh."""
        if monotonic() - self._drawn_at < APART[self._terminal]:
            return
        self._draw(done, total, nothing="how many messages there are is not known yet")

    def finish(self, done: int, total: int) -> None:
        """Draw the last picture and end the line."""
        self._draw(done, total, nothing="there are no messages")
        if self._terminal:
            self._stream.write("\n")
        self._drawn = ""

    def _draw(self, done: int, total: int, *, nothing: str) -> None:
        self._drawn_at = monotonic()
        picture = f"{self._title}: {self._share(done, total) if total else nothing}"
        if picture != self._drawn:
            self._drawn = picture
            self._stream.write(f"\r\x1b[K{picture}" if self._terminal else f"{picture}\n")
            self._stream.flush()

    def _share(self, done: int, total: int) -> str:
        share = min(done / total, 1.0)
        filled = round(WIDTH * share)
        bar = f"[{'#' * filled}{'.' * (WIDTH - filled)}] " if self._terminal else ""
        # Rounded down: 100% is the end.
        return f"{bar}{done:,} of {total:,} messages ({int(100 * share)}%)"
