"""The bytes of a client that no request has consumed yet, and whether the next request is complete.

gunicorn's parser reads only from this buffer, and alone interprets the request. The buffer only finds the request's
end, conservatively: a head that it does not understand goes to the parser unchanged and without a body, and the
connection is closed after the answer.
"""

import re

from pangaea.api.request_limits import MAX_HEAD
from pangaea.processes.web.chunked_bodies import ChunkedEnd

_EMPTY_LINE = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,18})[ \t]*(?=\r\n)", re.IGNORECASE)
_BODY_FIELD = re.compile(rb"\r\n(content-length|transfer-encoding)[ \t]*:", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:[ \t]*chunked[ \t]*(?=\r\n)", re.IGNORECASE)
_TARGET = re.compile(rb"[\r\n]*[^ \r\n]+ ([^ \r\n]+)")
_CONTINUE = re.compile(rb"\r\nexpect:[ \t]*100-continue[ \t]*(?=\r\n)", re.IGNORECASE)


class RequestBuffer:
    """Bytes in order of arrival. `max_body` is the length in bytes of the longest body that is gathered."""

    def __init__(self, max_body: int) -> None:
        self._max_body = max_body
        self._bytes = bytearray()
        self._searched = 0
        self._wanted: int | None = None
        self._chunks: ChunkedEnd | None = None
        self.is_framed = True
        """Whether the end of the request is known. If not, the connection must not be used for another request."""
        self.ran_out = False
        """Whether the parser has read beyond the end of the buffer."""
        self.is_too_long = False
        """Whether the head is longer than MAX_HEAD."""
        self.expects_continue = False
        """Whether the client waits for 100 (Continue) before it sends the body (RFC 9110, 10.1.1)."""

    def __len__(self) -> int:
        return len(self._bytes)

    @property
    def has_head(self) -> bool:
        """Whether request line and header fields have arrived."""
        return self._wanted is not None

    @property
    def is_ready(self) -> bool:
        """Whether the parser can have the request, with its whole body or, if the body is not gathered, without it."""
        return self._wanted is not None and len(self._bytes) >= self._wanted and self._chunks is None

    @property
    def target(self) -> str:
        """The target in the request line; empty for a line that the parser will refuse."""
        found = _TARGET.match(self._bytes)
        return found[1].decode("latin-1") if found else ""

    def add(self, received: bytes) -> None:
        """Append received bytes."""
        self._bytes += received
        if self._wanted is None:
            self._find_end()
        elif self._chunks is not None:
            self._find_end_of_chunks(self._chunks)

    def take(self, size: int) -> bytes:
        """At most `size` bytes from the front; none if the buffer is empty, as after the client disconnected."""
        taken = bytes(self._bytes[:size])
        del self._bytes[:size]
        self.ran_out = self.ran_out or not taken
        return taken

    def begin_next(self, unused: bytes) -> None:
        """Begin the next request, with the `unused` bytes that the parser read beyond the last one."""
        self._bytes[:0] = unused
        self._searched, self._wanted, self._chunks = 0, None, None
        self._find_end()

    def _find_end(self) -> None:
        end = self._bytes.find(_EMPTY_LINE, max(0, self._searched - len(_EMPTY_LINE)))
        self._searched = len(self._bytes)
        self.is_too_long = (len(self._bytes) if end == -1 else end) > MAX_HEAD
        if end == -1:
            return
        # Up to the first of the two line ends, so that a line end follows every field.
        head = bytes(self._bytes[: end + 2])
        length = _length_in(head)
        self.is_framed = length is not None and length <= self._max_body
        size = length if length is not None and self.is_framed else 0
        is_chunked = length is None and len(_BODY_FIELD.findall(head)) == 1 and bool(_CHUNKED.search(head))
        self.expects_continue = False
        if (size or is_chunked) and _CONTINUE.search(head):
            # The worker sends 100 (Continue) when it waits for the body. The parser would send it again.
            shorter = _CONTINUE.sub(b"", head)
            self._bytes[: len(head)] = shorter
            end -= len(head) - len(shorter)
            self.expects_continue = True
        self._wanted = end + len(_EMPTY_LINE) + size
        if is_chunked:
            self._chunks = ChunkedEnd(self._wanted, max_body=self._max_body)
            self._find_end_of_chunks(self._chunks)

    def _find_end_of_chunks(self, chunks: ChunkedEnd) -> None:
        """Look for the end of a chunked body, after which the connection is closed."""
        end = chunks.find(self._bytes)
        if end is not None:
            self._wanted, self._chunks = end, None


def _length_in(head: bytes) -> int | None:
    """The length of the body; None for a head that only the parser can interpret."""
    fields = _BODY_FIELD.findall(head)
    if not fields:
        return 0
    lengths = _LENGTH.findall(head)
    return int(lengths[0]) if len(fields) == len(lengths) == 1 else None
