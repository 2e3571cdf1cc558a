"""Where a chunked body ends (RFC 9112, 7.1), in bytes that arrive piece by piece."""

import re
from typing import Final

MAX_LINE: Final = 256
"""Bytes of the line before a chunk, extensions included."""
MAX_TRAILERS: Final = 8 << 10
"""Bytes of the fields after the last chunk."""
_SIZE = re.compile(rb"([0-9a-fA-F]{1,8})[ \t]*(?:;|$)")
_LINE_END, _EMPTY_LINE = b"\r\n", b"\r\n\r\n"


class ChunkedEnd:
    """Searches for the end of one body, from the position `start`.

    Only the end is found here: gunicorn's parser decodes the body, and refuses what is malformed. So all that this
    class does not understand, or that is longer than `max_body` bytes, counts as the end.
    """

    def __init__(self, start: int, *, max_body: int) -> None:
        self._start = self._at = start
        self._length = 0
        self._max_body = max_body

    def find(self, received: bytearray) -> int | None:
        """The position after the body; None if it is not complete."""
        # Chunks of one byte each are six times as long as what they carry.
        if len(received) - self._start > 8 * self._max_body:
            return len(received)
        while True:
            line_end = received.find(_LINE_END, self._at, self._at + MAX_LINE)
            if line_end == -1:
                return len(received) if len(received) - self._at > MAX_LINE else None
            found = _SIZE.match(received, self._at, line_end)
            size = int(found[1], 16) if found else -1
            if size == 0:
                return _end_of_trailers(received, line_end)
            if size < 0 or self._length + size > self._max_body:
                return len(received)
            after = line_end + len(_LINE_END) + size + len(_LINE_END)
            if len(received) < after:
                return None
            self._at, self._length = after, self._length + size


def _end_of_trailers(received: bytearray, last_chunk: int) -> int | None:
    end = received.find(_EMPTY_LINE, last_chunk)
    if end != -1:
        return end + len(_EMPTY_LINE)
    return len(received) if len(received) - last_chunk > MAX_TRAILERS else None
