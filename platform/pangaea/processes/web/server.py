"""The web process: gunicorn with threads, configured here alone, started by `manage.py web`.

With TLS_CERTIFICATE it speaks TLS 1.2 or later to callers that show a certificate, and to nobody else. Which of them it
answers is up to `pangaea.api.callers`.
"""

import logging
import ssl
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.db import connections
from django.utils.module_loading import import_string
from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger

from pangaea.configuration.declared import Declared
from pangaea.credentials import mutual_tls
from pangaea.processes.web.draining import DrainingWorker
from pangaea.processes.web.gathering_worker import CONNECTIONS

KEEP_ALIVE = 2
"""Seconds that an idle connection is kept. Whoever calls must let go of it earlier (the gateway: after one)."""
SILENCE = 60
"""Seconds without a sign of life from a worker's main thread, after which it is replaced."""


def options(declared: Declared, *, bind: str, workers: int, threads: int) -> dict[str, Any]:
    """Gunicorn's settings. Raises Misconfigured for certificates that cannot be used."""
    return {
        "bind": [bind],
        "worker_class": DrainingWorker,
        "workers": workers,
        "threads": threads,
        "worker_connections": CONNECTIONS,
        # It waits for the client.
        "sendfile": False,
        "keepalive": KEEP_ALIVE,
        "graceful_timeout": max(1, int(declared.shutdown_grace.total_seconds())),
        "timeout": SILENCE,
        # It would open a socket in the home folder.
        "control_socket_disable": True,
        # Whether X-Forwarded-Proto is believed is Django's to say (TRUST_FORWARDED_PROTO).
        "forwarded_allow_ips": "",
        "logger_class": StructuredLogger,
        "post_fork": _after_fork,
        "pre_request": _before_request,
        **_tls(declared),
    }


def _tls(declared: Declared) -> dict[str, Any]:
    files = declared.tls_files
    if files is None:
        return {}
    context = mutual_tls.renewing(files, mutual_tls.server_context)
    context.current()

    def for_next_connection(_config: object, _default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
        return context.current()

    return {
        # The hook makes the context; these say that there is one.
        "certfile": str(files.certificate),
        "keyfile": str(files.key),
        "ca_certs": str(files.authorities),
        "cert_reqs": ssl.CERT_REQUIRED,
        "ssl_context": for_next_connection,
    }


class WebServer(BaseApplication):
    """gunicorn with these settings and this project's application; `run()` returns when it was told to stop."""

    def __init__(self, options: dict[str, Any]) -> None:
        self._options = options
        super().__init__(prog="manage.py web")

    def load_config(self) -> None:
        """Take the settings as they are; no file and no variable of gunicorn's own plays a part."""
        for name, value in self._options.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        """The WSGI application, in each worker."""
        return import_string(str(settings.WSGI_APPLICATION))


class StructuredLogger(Logger):
    """gunicorn's own lines, in the form of all the others. Requests are logged by `pangaea.telemetry.logs`."""

    def setup(self, cfg: Any) -> None:
        """Leave handlers and form to the root logger."""
        self.error_log.propagate = True
        self.error_log.setLevel(settings.PANGAEA.log_level)
        self.access_log.setLevel(logging.CRITICAL)


def _before_request(_worker: Any, request: Any) -> None:
    """After a request whose end is not known nothing else can be read from its connection, and the answer says so."""
    buffer = request.unreader.sock.buffer
    if not buffer.is_framed:
        request.force_close()


def _after_fork(_server: Any, _worker: Any) -> None:
    """A database connection must not be shared with the parent process."""
    connections.close_all()
