"""A TCP proxy before a broker, so that a test can take the broker away from one deployment and give it back."""

import ctypes
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit, urlunsplit

SO_ATTACH_FILTER, BPF_RETURN = 26, 0x06
"""From linux/filter.h (Linux only): a filter program that returns 0 drops the whole packet."""


class Proxy:
    """Listens on its own port between `up` and `down`."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._open: set[socket.socket] = set()
        self._servers: set[socket.socket] = set()
        self._mute: set[socket.socket] = set()
        self._listener: socket.socket | None = None
        self._accepting: threading.Thread | None = None
        self.port = 0
        self.lost = 0
        """The number of bytes that were not passed on."""

    def up(self) -> None:
        """Accept connections, always on the same port."""
        self._listener = socket.create_server(("127.0.0.1", self.port), reuse_port=False)
        self.port = self._listener.getsockname()[1]
        self._accepting = threading.Thread(target=self._accept, args=[self._listener], daemon=True)
        self._accepting.start()

    def down(self) -> None:
        """Close every connection and refuse later ones."""
        listener, self._listener = self._listener, None
        if listener is not None and self._accepting is not None:
            # First, because a client reconnects as soon as its connection ends.
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
            self._accepting.join()
        for each in list(self._open):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self._open.clear()
        self._servers.clear()
        self._mute.clear()

    def lose(self, *, answers_only: bool = False) -> int:
        """Stop passing bytes on over the open connections, without closing them; later connections work.

        A firewall that lost its connection table does the same. With `answers_only`, what clients send still
        arrives. Returns the number of connections.
        """
        connections = list(self._open)
        self._mute.update(each for each in connections if not answers_only or each in self._servers)
        return len(connections) // 2

    def vanish(self) -> None:
        """Drop every packet of either end on the open connections (Linux only); later connections work.

        A host whose power failed does the same. Unlike after `lose`, packets are not even acknowledged by TCP.
        """
        drop_all = ctypes.create_string_buffer(struct.pack("HBBI", BPF_RETURN, 0, 0, 0))
        program = struct.pack("HP", 1, ctypes.addressof(drop_all))
        for each in list(self._open):
            each.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
                server = socket.create_connection(self._target)
            except OSError:
                return
            self._open |= {client, server}
            self._servers.add(server)
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._copy, args=[source, sink], daemon=True).start()

    def _copy(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if source in self._mute:
                    self.lost += len(data)
                else:
                    sink.sendall(data)
        if source in self._mute:
            # The other end does not learn that this one was closed, either.
            return
        for each in (source, sink):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
            self._open.discard(each)


@contextmanager
def before(url: str, default_port: int) -> Iterator[tuple[Proxy, str]]:
    """Hold a proxy before the server of that URL. Yields the proxy, and the URL that leads through it."""
    address = urlsplit(url)
    proxy = Proxy((address.hostname or "127.0.0.1", address.port or default_port))
    proxy.up()
    user = address.netloc.rpartition("@")[0]
    netloc = f"{user}@127.0.0.1:{proxy.port}" if user else f"127.0.0.1:{proxy.port}"
    try:
        yield proxy, urlunsplit((address.scheme, netloc, address.path, address.query, ""))
    finally:
        proxy.down()
