"""/livez, /readyz and /startupz for relays and workers, which answer no other HTTP: HEALTH_PORT.

/livez      every part of the process moves, whether it reaches its broker or not: a restart helps against nothing else
/readyz     what the web process asks too, and every part does its work or another one does it: 200, or 503
/startupz   like readyz until that succeeds for the first time, then 200 for good
"""

import json
import threading
from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import structlog
from django.conf import settings
from django.db import connections

from pangaea import health
from pangaea.errors import Misconfigured
from pangaea.heartbeat import Heartbeat

log = structlog.get_logger()

PATIENCE = 5.0
"""Seconds for whoever asks to say what."""


class ProbeServer:
    """Answers probes for the process of `heartbeat`, between `start` and `stop`; port 0 answers nobody."""

    def __init__(self, heartbeat: Heartbeat, port: int) -> None:
        self._heartbeat = heartbeat
        self._port = port
        self._server: ThreadingHTTPServer | None = None

    def start(self) -> None:
        """Begin. Raises Misconfigured when the port is taken."""
        if not self._port:
            return
        host = settings.PANGAEA.health_host
        try:
            self._server = ThreadingHTTPServer((host, self._port), _handler(self._heartbeat))
        except OSError as error:
            raise Misconfigured(
                f"This process cannot listen at HEALTH_HOST {host} and HEALTH_PORT {self._port} ({error.strerror}): "
                "set an address of this machine, and a port that no other process has."
            ) from error
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, name="probes", daemon=True).start()
        log.info("probes", host=host, port=self._port)

    def stop(self) -> None:
        """End."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def abandon(self, **_signal: Any) -> None:
        """In a forked child: let go of the port, which the parent serves."""
        if self._server is not None:
            with suppress(OSError):
                self._server.socket.close()


def answer(path: str, heartbeat: Heartbeat) -> tuple[HTTPStatus, Mapping[str, Any]]:
    """The status and the document for a probe; 404 for anything else."""
    parts = {pulse.part: pulse.state.value for pulse in heartbeat.pulses}
    if path == "/livez":
        alive = all(pulse.moves for pulse in heartbeat.pulses)
        return _status(alive), {"status": "alive" if alive else "hanging", "parts": parts}
    if path == "/startupz" and health.state.has_been_ready:
        return HTTPStatus.OK, {"status": "started"}
    if path not in {"/readyz", "/startupz"}:
        return HTTPStatus.NOT_FOUND, {"status": "not found", "probes": ["/livez", "/readyz", "/startupz"]}
    at_work = all(pulse.state.ready for pulse in heartbeat.pulses)
    try:
        well, checks = health.state.check(verifies_tokens=False, needs_broker=True, at_work=at_work)
    finally:
        # This thread answers one question.
        connections.close_all()
    return _status(well), {"status": "ready" if well else "not ready", "checks": {**checks, "parts": parts}}


def _status(well: bool) -> HTTPStatus:  # noqa: FBT001 - there is nothing else it could be
    return HTTPStatus.OK if well else HTTPStatus.SERVICE_UNAVAILABLE


def _handler(heartbeat: Heartbeat) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = PATIENCE

        def do_GET(self) -> None:
            status, document = answer(self.path.partition("?")[0], heartbeat)
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
            """Probes come every second; what changes is in the log already."""

    return Handler
