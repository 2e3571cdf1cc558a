"""gunicorn's worker, in which no client blocks a thread: a silent or slow client costs some kilobytes, for seconds.

The main thread completes handshakes and gathers requests until they are complete. Other threads get only requests that
they can answer without waiting for the client, and the main thread sends the bytes that a client does not take at once.
Every step has an absolute deadline. A caller that is not accepted is refused at the end of the handshake, before its
request is read. A complete request waits for a turn of its route (`pangaea.api.shaping`) before it gets a thread.
"""

import errno
import selectors
import socket
import ssl
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import structlog
from django.conf import settings
from gunicorn.sock import ssl_context
from gunicorn.workers.gthread import ThreadWorker

from pangaea import modules
from pangaea.api.callers import AcceptedCallers
from pangaea.api.problems import Problem
from pangaea.api.shaping import Turn, Turns
from pangaea.processes.web import refused_requests, request_checks
from pangaea.processes.web.client_connections import ClientConnection, WouldBlock

log = structlog.get_logger()

HANDSHAKE_TIMEOUT = 5.0
"""Seconds from the first packet to the end of the TLS handshake."""
HEAD_TIMEOUT = 10.0
"""Seconds for the head of a request, from the first packet, or from the first byte on a kept-alive connection."""
BODY_TIMEOUT = 30.0
"""Seconds for the body, from the end of the head. The gateway allows its own clients the same."""
SEND_TIMEOUT = 30.0
"""Seconds for a client to receive the answer."""
LINGER_TIMEOUT = 2.0
"""Seconds for a client to close its end after the last answer (RFC 9112, 9.6)."""
MAX_WAITING = 512
"""Connections that wait for their client. For one more, the oldest is closed: silent clients keep no others out."""
CONNECTIONS = 800
"""All connections (waiting, being answered, kept alive): fewer than the 1,024 files that a process may usually open."""
MAX_HELD_BYTES = 64 << 20
"""Bytes of requests and answers that wait for clients. Above it, the connections that hold most are dropped."""
RECOUNT_BYTES = 1 << 20
"""Bytes received or left unsent after which all held bytes are counted again."""
SWEEP_INTERVAL = 0.25
"""Seconds between two checks of the deadlines."""
_NOTHING_TO_ACCEPT = frozenset({errno.EAGAIN, errno.EWOULDBLOCK, errno.ECONNABORTED})
_OUT_OF_RESOURCES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

Step = Callable[[ClientConnection], None]


class GatheringWorker(ThreadWorker):  # type: ignore[misc] # gunicorn has no types
    """gunicorn's threaded worker, extended to gather requests. Only `handle_error` runs outside the main thread."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # Connections in order of arrival, each with the step to take when its socket is ready.
        self._waiting: dict[ClientConnection, Step] = {}
        self._uncounted = 0
        self._displaced = 0
        self._next_sweep = 0.0
        self._callers = AcceptedCallers.of(settings.PANGAEA)
        self._turns: Turns[ClientConnection] = Turns(threads=self.cfg.threads)

    # Receiving

    def accept(self, listener: socket.socket) -> bool:
        """Accept one connection. Returns whether there was one. If too many wait, the oldest is closed."""
        try:
            raw, address = listener.accept()
        except OSError as error:
            if error.errno in _OUT_OF_RESOURCES:
                self._displace_oldest()
            elif error.errno not in _NOTHING_TO_ACCEPT:
                raise
            return False
        if len(self._waiting) >= MAX_WAITING:
            self._displace_oldest()
        tls = ssl_context(self.cfg) if self.cfg.is_ssl else None
        try:
            conn = ClientConnection(
                self.cfg, raw, address, listener.getsockname(), tls=tls, max_body=settings.DATA_UPLOAD_MAX_MEMORY_SIZE
            )
        except OSError:
            # The client disconnected before its handshake began.
            raw.close()
            return True
        self.nr_conns += 1
        conn.deadline = time.monotonic() + (HEAD_TIMEOUT if tls is None else HANDSHAKE_TIMEOUT)
        self._secure(conn)
        return True

    def enqueue_req(self, conn: ClientConnection) -> None:
        """Gather the next request of a kept-alive connection."""
        conn.begin_next()
        conn.deadline = time.monotonic() + HEAD_TIMEOUT
        self._gather(conn)

    def _secure(self, conn: ClientConnection) -> None:
        if not conn.is_secured:
            try:
                conn.sock.shake_hands()
            except WouldBlock as wanted:
                self._wait(conn, wanted.event, self._secure)
                return
            except OSError as error:
                # A client that merely disconnects, as some probes do, is not logged.
                if isinstance(error.__cause__, ssl.SSLError) and not isinstance(error.__cause__, ssl.SSLEOFError):
                    log.warning("handshake failed", client=conn.client[0], error=str(error))
                self._drop(conn)
                return
            conn.is_secured = True
            conn.deadline += HEAD_TIMEOUT - HANDSHAKE_TIMEOUT
            if not self._callers.may_connect(conn.sock.identity):
                self._refuse(conn, self._callers.refusal(conn.sock.identity))
                return
        self._gather(conn)

    def _gather(self, conn: ClientConnection) -> None:
        """Receive until the request is complete, no more bytes have arrived, or the client has disconnected."""
        buffer = conn.buffer
        while not buffer.is_ready:
            had_head = buffer.has_head
            try:
                received = conn.sock.receive()
                buffer.add(received)
                if buffer.expects_continue and not buffer.is_ready:
                    buffer.expects_continue = False
                    conn.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            except WouldBlock as wanted:
                self._wait(conn, wanted.event, self._gather)
                return
            except OSError:
                received = b""
            if not received:
                self._drop(conn)
                return
            self._uncounted += len(received)
            if buffer.is_too_long:
                self._refuse(conn, refused_requests.TOO_LONG)
                return
            if buffer.has_head and not had_head:
                conn.deadline = time.monotonic() + BODY_TIMEOUT
        self._forget(conn)
        route = modules.route_of(request_checks.path_of(buffer.target))
        match self._turns.enter(conn, route, now=time.monotonic()):
            case Turn.STARTS:
                self._start(conn, is_refused=False)
            case Turn.REFUSED:
                self._start(conn, is_refused=True)

    def _start(self, conn: ClientConnection, *, is_refused: bool) -> None:
        conn.sock.is_refused = is_refused
        super().enqueue_req(conn)

    # Answering

    def finish_request(self, conn: ClientConnection, future: Any) -> None:
        """Send the rest of the answer. Then keep the connection alive, or close it."""
        if following := self._turns.leave(conn):
            self._start(following, is_refused=False)
        if future.cancelled() or future.exception():
            self._drop(conn)
            return
        conn.is_kept = bool(future.result()) and conn.buffer.is_framed and not conn.buffer.ran_out
        conn.deadline = time.monotonic() + SEND_TIMEOUT
        self._uncounted += len(conn.sock.unsent)
        self._send(conn)

    def _send(self, conn: ClientConnection) -> None:
        try:
            sent = conn.sock.flush()
        except OSError:
            self._drop(conn)
            return
        if not sent:
            self._wait(conn, selectors.EVENT_WRITE, self._send)
        elif not conn.is_kept:
            self._linger(conn)
        elif conn.has_more:
            self.enqueue_req(conn)
        else:
            self._keep(conn)

    def _keep(self, conn: ClientConnection) -> None:
        """Wait for the next request, as gunicorn does."""
        self._forget(conn)
        conn.set_timeout()
        if not self.alive:
            conn.timeout = min(conn.timeout, time.monotonic() + LINGER_TIMEOUT)
        self.keepalived_conns.append(conn)
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(self.on_client_socket_readable, conn))

    def handle_error(self, req: Any, client: Any, addr: Any, exc: Exception) -> None:
        """Answer a request that gunicorn's parser refuses, or an uncaught error, with a problem document."""
        problem = refused_requests.problem_of(exc)
        if problem is None:
            self.log.error("Error handling request %s", getattr(req, "path", "(unread)"), exc_info=exc)
        client.sendall(refused_requests.answer(problem or refused_requests.INTERNAL, client=addr[0], error=exc))

    def _refuse(self, conn: ClientConnection, problem: Problem) -> None:
        try:
            conn.sock.sendall(refused_requests.answer(problem, client=conn.client[0]))
        except OSError:
            self._drop(conn)
        else:
            self._linger(conn)

    def _linger(self, conn: ClientConnection) -> None:
        """Close the sending side, and wait for the client to close: a reset could arrive before the answer is read."""
        try:
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._drop(conn)
            return
        conn.deadline = time.monotonic() + LINGER_TIMEOUT
        self._wait(conn, selectors.EVENT_READ, self._discard)

    def _discard(self, conn: ClientConnection) -> None:
        try:
            received = conn.sock.receive()
        except WouldBlock:
            return
        except OSError:
            received = b""
        if not received:
            self._drop(conn)

    # Waiting, with deadlines

    def murder_pending(self) -> None:
        """Close connections that are past their deadline or hold too many bytes. gunicorn calls it every round."""
        now = time.monotonic()
        if self._uncounted > RECOUNT_BYTES:
            self._uncounted = 0
            self._relieve()
        if now < self._next_sweep:
            return
        self._next_sweep = now + SWEEP_INTERVAL
        for conn in self._turns.late(now):
            self._start(conn, is_refused=True)
        if self._displaced:
            log.warning("connections displaced", number=self._displaced, reason="too many connections wait for clients")
            self._displaced = 0
        for conn, step in list(self._waiting.items()):
            if conn.deadline > now:
                continue
            if step == self._gather and len(conn.buffer):
                self._refuse(conn, refused_requests.TOO_SLOW)
            else:
                self._drop(conn)

    def _relieve(self) -> None:
        held = sum(conn.held for conn in self._waiting)
        for conn in sorted(self._waiting, key=lambda each: each.held, reverse=True):
            if held <= MAX_HELD_BYTES:
                break
            held -= conn.held
            log.warning(
                "connection dropped", client=conn.client[0], held=conn.held, reason="too many bytes wait for clients"
            )
            self._drop(conn)

    def _displace_oldest(self) -> None:
        oldest = next(iter(self._waiting), None)
        if oldest is not None:
            self._displaced += 1
            self._drop(oldest)

    def _cap_keepalive(self, deadline: float) -> None:
        """Give clients that have sent nothing yet the deadline of kept-alive connections, when the process stops."""
        super()._cap_keepalive(deadline)
        for conn in self._waiting:
            if not len(conn.buffer):
                conn.deadline = min(conn.deadline, deadline)

    def _wait(self, conn: ClientConnection, event: int, step: Step) -> None:
        def proceed(_socket: object) -> None:
            step(conn)

        if conn in self._waiting:
            self.poller.modify(conn.sock, event, proceed)
        else:
            self.poller.register(conn.sock, event, proceed)
        self._waiting[conn] = step

    def _forget(self, conn: ClientConnection) -> None:
        if self._waiting.pop(conn, None):
            self.poller.unregister(conn.sock)

    def _drop(self, conn: ClientConnection) -> None:
        self._forget(conn)
        self.nr_conns -= 1
        conn.close()
