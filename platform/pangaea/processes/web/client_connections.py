"""A client's connection in the web process, on which no read and no write blocks, whatever the client does.

gunicorn uses `ClientSocket` like a socket. It reads only bytes that have already arrived. Bytes that it writes and the
client does not take at once are buffered, and the main thread sends them later.
"""

import errno
import selectors
import ssl
from collections.abc import Callable
from typing import Any, Final, TypeVar

from gunicorn.http import get_parser
from gunicorn.workers.gthread import TConn

from pangaea.credentials.mutual_tls import PeerSocket
from pangaea.processes.web.request_buffer import RequestBuffer

READ_AT_ONCE: Final = 64 << 10
"""Bytes received from one client before it is the next client's turn."""
SENT_AT_ONCE: Final = 256 << 10
"""Bytes passed to one call of the socket's `send`."""

T = TypeVar("T")


class WouldBlock(Exception):
    """The operation must wait until the socket is ready for `event`, one of the events of the module `selectors`."""

    def __init__(self, event: int) -> None:
        super().__init__()
        self.event = event


class ClientSocket:
    """The part of a socket's interface that gunicorn uses."""

    def __init__(self, raw: Any, buffer: RequestBuffer) -> None:
        self._raw = raw
        self.buffer = buffer
        self.unsent = bytearray()
        self.is_refused = False
        """Whether the present request is one too many for its route (`pangaea.api.shaping`)."""

    @property
    def identity(self) -> str | None:
        """The SPIFFE id in the client's certificate; None without one."""
        return self._raw.identity if isinstance(self._raw, PeerSocket) else None

    def fileno(self) -> int:
        """The file descriptor, for a selector."""
        number: int = self._raw.fileno()
        return number

    def setblocking(self, flag: bool) -> None:  # noqa: FBT001 - the interface of sockets
        """Do nothing: the socket never blocks."""

    settimeout = setblocking

    def gettimeout(self) -> float:
        """Return 0, as a socket that does not block."""
        return 0.0

    def recv(self, size: int) -> bytes:
        """Bytes that have arrived; if the buffer is empty, none, as at the end of a connection."""
        return self.buffer.take(size)

    def send(self, data: bytes) -> int:
        """Do as `sendall`. All bytes count as sent."""
        self.sendall(data)
        return len(data)

    def sendall(self, data: bytes) -> None:
        """Send what the client takes at once, and buffer the rest. Raises OSError if the client has disconnected."""
        is_waiting = bool(self.unsent)
        self.unsent += data
        if not is_waiting:
            self.flush()

    def flush(self) -> bool:
        """Send buffered bytes as long as the client takes them. Returns whether all were sent. Raises OSError."""
        while self.unsent:
            piece = bytes(self.unsent[:SENT_AT_ONCE])
            try:
                sent = _at_once(lambda: self._raw.send(piece))  # noqa: B023 - called at once
            except WouldBlock:
                return False
            del self.unsent[:sent]
        return True

    def receive(self) -> bytes:
        """At most READ_AT_ONCE bytes from the network; none after the client's last. Raises WouldBlock, OSError."""
        received: bytes = _at_once(lambda: self._raw.recv(READ_AT_ONCE))
        return received

    def shake_hands(self) -> None:
        """Take the next step of the TLS handshake, if one is left. Raises WouldBlock, OSError."""
        if isinstance(self._raw, ssl.SSLSocket):
            _at_once(self._raw.do_handshake)

    def shutdown(self, how: int) -> None:
        """Shut down the socket."""
        self._raw.shutdown(how)

    def close(self) -> None:
        """Close the socket."""
        self._raw.close()


def _at_once(step: Callable[[], T]) -> T:
    try:
        return step()
    except (BlockingIOError, ssl.SSLWantReadError):
        raise WouldBlock(selectors.EVENT_READ) from None
    except ssl.SSLWantWriteError:
        raise WouldBlock(selectors.EVENT_WRITE) from None
    except ssl.SSLError as error:
        # gunicorn handles a reset connection as it does without TLS, and would answer any other error with a status.
        raise ConnectionResetError(errno.ECONNRESET, str(error)) from error


class ClientConnection(TConn):  # type: ignore[misc] # gunicorn has no types
    """gunicorn's connection over a `ClientSocket`, which it closes. `deadline` is a time by `time.monotonic`."""

    def __init__(
        self, cfg: Any, raw: Any, client: Any, server: Any, *, tls: ssl.SSLContext | None, max_body: int
    ) -> None:
        super().__init__(cfg, raw, client, server)
        if tls:
            raw = tls.wrap_socket(raw, server_side=True, do_handshake_on_connect=False)
        self.buffer = RequestBuffer(max_body)
        self.sock = ClientSocket(raw, self.buffer)
        self.parser = get_parser(cfg, self.sock, client)
        # Keeps gunicorn's thread from initialising the connection again.
        self.initialized = True
        self.is_secured = tls is None
        self.is_kept = False
        self.deadline = 0.0

    @property
    def held(self) -> int:
        """Bytes that it holds in memory."""
        return len(self.buffer) + len(self.sock.unsent)

    @property
    def has_more(self) -> bool:
        """Whether the next request has begun to arrive."""
        return bool(len(self.buffer) or self.parser.unreader.buf.getvalue())

    def begin_next(self) -> None:
        """Begin the next request with the bytes that the last request left unread."""
        self.buffer.begin_next(self.parser.unreader.take_buffered())
