"""The port HEALTH_PORT, at which relays and workers answer `pangaea.health.probes`: they serve no other HTTP.

The server has two threads, whatever clients do. One handles all connections and waits for none. Each connection has a
deadline, and if there are too many, the oldest is closed. The other thread runs the checks that may take seconds, once
for all the probes that wait for them, so that /livez never waits.
"""

import json
import selectors
import socket
import threading
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from http.server import BaseHTTPRequestHandler
from io import BytesIO
from queue import SimpleQueue
from time import monotonic
from typing import Any

import structlog
from django.conf import settings

from pangaea.errors import Misconfigured
from pangaea.health.probes import Answer, answer, is_quick
from pangaea.telemetry.components import Component

log = structlog.get_logger()

REQUEST_TIMEOUT = 5.0
"""Seconds from the connection to the end of the request's head."""
ANSWER_TIMEOUT = 30.0
"""Seconds from the end of the head to the answer: longer than the sum of the checks' own limits."""
CONNECTIONS = 64
"""Connections open at once. For one more, the oldest without a request is closed, or else the oldest of all."""
MAX_HEAD = 8 << 10
"""Bytes of a request's head. A body is not read."""
BACKLOG = 1024
"""Connections that the operating system may queue until the next round accepts them."""
SWEEP_INTERVAL = 1.0
"""Seconds between two checks of the deadlines, if nothing arrives."""
CLOSE_TIMEOUT = 1.0
"""Seconds within which the connections' thread ends, since it waits for nothing."""


class Client:
    """A connection. `path` is empty until the head of its request has arrived."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)  # noqa: FBT003 - the library's signature
        self.sock = sock
        self.head = bytearray()
        self.path = ""
        self.deadline = monotonic() + REQUEST_TIMEOUT


class ProbeServer:
    """Answers probes between `start` and `stop`, for a process with these components. With port 0 it does nothing."""

    def __init__(self, components: Iterable[Component], port: int) -> None:
        self._components = list(components)
        self._port = port
        self._listener: socket.socket | None = None
        self._selector: selectors.BaseSelector
        self._wake_receiver: socket.socket
        self._wake_sender: socket.socket
        # In order of arrival.
        self._clients: dict[Client, None] = {}
        self._unchecked: SimpleQueue[Client | None] = SimpleQueue()
        self._checked: SimpleQueue[tuple[Client, Answer | None]] = SimpleQueue()
        self._stopping = False
        self._thread = threading.Thread(target=self._serve, name="probes", daemon=True)

    def start(self) -> None:
        """Listen, and start the threads. Raises Misconfigured if the port is taken."""
        if not self._port:
            return
        host = settings.PANGAEA.health_host
        try:
            self._listener = socket.create_server((host, self._port), backlog=BACKLOG)
        except OSError as error:
            raise Misconfigured(
                f"This process cannot listen at HEALTH_HOST {host} and HEALTH_PORT {self._port} ({error.strerror}): "
                "set an address of this machine, and a port that no other process has."
            ) from error
        self._selector = selectors.DefaultSelector()
        self._wake_receiver, self._wake_sender = socket.socketpair()
        for each in (self._listener, self._wake_receiver, self._wake_sender):
            each.setblocking(False)  # noqa: FBT003 - the library's signature
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        self._selector.register(self._wake_receiver, selectors.EVENT_READ, self._take_answers)
        self._thread.start()
        threading.Thread(target=self._check, name="readiness", daemon=True).start()
        log.info("probe server started", host=host, port=self._port)

    def stop(self) -> None:
        """Close the port and all connections. A running check ends with the process."""
        if self._listener is None:
            return
        self._stopping = True
        self._unchecked.put(None)
        self._wake()
        self._thread.join(timeout=CLOSE_TIMEOUT)

    def abandon(self, **_signal: Any) -> None:
        """Close a forked child's copies of the port and its connections, which the parent serves."""
        if self._listener is None:
            return
        for each in (self._listener, *(client.sock for client in self._clients)):
            with suppress(OSError):
                each.close()

    def _serve(self) -> None:
        while not self._stopping:
            for key, _ in self._selector.select(SWEEP_INTERVAL):
                key.data()
            now = monotonic()
            for client in [each for each in self._clients if each.deadline <= now]:
                self._close(client)
        for client in list(self._clients):
            self._close(client)
        self._selector.close()
        for each in (self._listener, self._wake_receiver, self._wake_sender):
            if each is not None:
                each.close()

    def _accept(self) -> None:
        if self._listener is None:
            return
        if len(self._clients) >= CONNECTIONS:
            self._displace_oldest()
        try:
            sock, _ = self._listener.accept()
        except BlockingIOError:
            return
        except OSError:
            # The process may have no file descriptor left for the connection.
            self._displace_oldest()
            return
        client = Client(sock)
        self._clients[client] = None
        self._selector.register(sock, selectors.EVENT_READ, partial(self._receive, client))
        # A request that has arrived with the connection is not displaced by the next one.
        self._receive(client)

    def _displace_oldest(self) -> None:
        oldest = next((each for each in self._clients if not each.path), next(iter(self._clients), None))
        if oldest is not None:
            self._close(oldest)

    def _receive(self, client: Client) -> None:
        if client not in self._clients:
            # Displaced in this round of the loop.
            return
        try:
            received = client.sock.recv(MAX_HEAD)
        except BlockingIOError:
            return
        except OSError:
            received = b""
        client.head += received
        if not received or len(client.head) > MAX_HEAD:
            self._close(client)
        elif b"\n\r\n" in client.head or b"\n\n" in client.head:
            self._begin_answer(client)

    def _begin_answer(self, client: Client) -> None:
        self._selector.unregister(client.sock)
        client.path = _path(client.head)
        if is_quick(client.path):
            self._send(client, answer(client.path, self._components))
        else:
            client.deadline = monotonic() + ANSWER_TIMEOUT
            self._unchecked.put(client)

    def _check(self) -> None:
        while (client := self._unchecked.get()) is not None:
            waiting = [client]
            while not self._unchecked.empty():
                if (client := self._unchecked.get()) is None:
                    return
                waiting.append(client)
            answers = {path: self._answer(path) for path in {each.path for each in waiting}}
            for each in waiting:
                self._checked.put((each, answers[each.path]))
            self._wake()

    def _answer(self, path: str) -> Answer | None:
        try:
            return answer(path, self._components)
        except Exception:
            # Whatever the error, this thread has to answer the next probe.
            log.exception("probe failed", path=path)
            return None

    def _wake(self) -> None:
        # A full socket wakes the loop anyway; a closed socket belongs to a process that ends.
        with suppress(OSError):
            self._wake_sender.send(b"\0")

    def _take_answers(self) -> None:
        with suppress(BlockingIOError):
            self._wake_receiver.recv(4096)
        while not self._checked.empty():
            client, result = self._checked.get()
            if client not in self._clients:
                continue
            if result is None:
                self._close(client)
            else:
                self._send(client, result)

    def _send(self, client: Client, result: Answer) -> None:
        # The system takes the whole answer at once: it is the connection's only one, and shorter than any buffer.
        with suppress(OSError):
            client.sock.send(ProbeRequest(client.head, result).response)
        self._close(client)

    def _close(self, client: Client) -> None:
        del self._clients[client]
        with suppress(KeyError):
            self._selector.unregister(client.sock)
        with suppress(OSError):
            # A forked child may hold the connection too, so closing it here would not end it.
            client.sock.shutdown(socket.SHUT_WR)
        client.sock.close()


def _path(head: bytes | bytearray) -> str:
    """The path of a request; "?" if its first line has none."""
    words = head.split(b"\n", 1)[0].split()
    return words[1].partition(b"?")[0].decode("latin-1") if len(words) > 1 else "?"


class ProbeRequest(BaseHTTPRequestHandler):
    """Parses a complete head, or refuses it, as the standard library does. `response` has the bytes to send."""

    def __init__(self, head: bytes | bytearray, result: Answer) -> None:
        self._answer = result
        self.rfile = BytesIO(head)
        self.wfile = sent = BytesIO()
        self.client_address = ("", 0)
        self.handle_one_request()
        self.response = sent.getvalue()

    def do_GET(self) -> None:
        status, document = self._answer
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815 - the library's name

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        """Log nothing: probes arrive every second, and a change of state is logged where it happens."""
