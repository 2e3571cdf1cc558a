"""The web process: gunicorn with threads, configured only here and started by `manage.py web`.

With TLS_CERTIFICATE it requires TLS 1.2 or later and a client certificate. `pangaea.api.callers` decides which of these
callers it answers.
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

from pangaea.api import call_counting
from pangaea.api.request_limits import GATEWAY_FIELDS, MAX_FIELD, MAX_FIELDS, MAX_LINE
from pangaea.configuration.declared import Declared
from pangaea.credentials import mutual_tls
from pangaea.processes.web import request_checks
from pangaea.processes.web.draining import DrainingWorker
from pangaea.processes.web.gathering_worker import CONNECTIONS

KEEP_ALIVE = 2
"""Seconds for which an idle connection is kept. Callers must close it earlier (the gateway does after one second)."""
WORKER_TIMEOUT = 60
"""Seconds without a heartbeat of a worker's main thread after which gunicorn replaces the worker."""


def options(declared: Declared, *, bind: str, workers: int, threads: int) -> dict[str, Any]:
    """Gunicorn's settings. Raises Misconfigured for certificates that cannot be used."""
    return {
        "bind": [bind],
        "worker_class": DrainingWorker,
        "workers": workers,
        "threads": threads,
        "worker_connections": CONNECTIONS,
        "limit_request_line": MAX_LINE,
        "limit_request_field_size": MAX_FIELD + len("\r\n"),
        # `request_checks` counts those of the client alone.
        "limit_request_fields": MAX_FIELDS + GATEWAY_FIELDS,
        # sendfile() would block on a slow client.
        "sendfile": False,
        "keepalive": KEEP_ALIVE,
        "graceful_timeout": max(1, int(declared.shutdown_grace.total_seconds())),
        "timeout": WORKER_TIMEOUT,
        # The control socket would be opened in the home folder.
        "control_socket_disable": True,
        # Whether X-Forwarded-Proto is trusted is a setting of Django's (TRUST_FORWARDED_PROTO).
        "forwarded_allow_ips": "",
        "logger_class": StructuredLogger,
        "post_fork": _after_fork,
        "post_worker_init": _begin_work,
        "worker_exit": _end_work,
        "pre_request": _before_request,
        **_tls(declared),
    }


def _tls(declared: Declared) -> dict[str, Any]:
    files = declared.tls_files
    if files is None:
        return {}
    context = mutual_tls.reloading(files, mutual_tls.server_context)
    context.current()

    def for_next_connection(_config: object, _default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
        return context.current()

    return {
        # The hook `ssl_context` creates the context; the other options only switch TLS on.
        "certfile": str(files.certificate),
        "keyfile": str(files.key),
        "ca_certs": str(files.authorities),
        "cert_reqs": ssl.CERT_REQUIRED,
        "ssl_context": for_next_connection,
    }


class WebServer(BaseApplication):
    """gunicorn with these settings and this project's application. `run()` returns after SIGTERM or SIGINT."""

    def __init__(self, options: dict[str, Any]) -> None:
        self._options = options
        super().__init__(prog="manage.py web")

    def load_config(self) -> None:
        """Use only these settings, and ignore gunicorn's own configuration files and variables."""
        for name, value in self._options.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        """The WSGI application, loaded in each worker."""
        return import_string(str(settings.WSGI_APPLICATION))


class StructuredLogger(Logger):
    """gunicorn's own log lines, in the format of all others. `pangaea.telemetry.access_log` logs the requests."""

    def setup(self, cfg: Any) -> None:
        """Leave handlers and format to the root logger."""
        self.error_log.propagate = True
        self.error_log.setLevel(settings.PANGAEA.log_level)
        self.access_log.setLevel(logging.CRITICAL)


def _before_request(_worker: Any, request: Any) -> None:
    """Check the request. After one whose end is unknown no other can be read, so the connection is closed."""
    request_checks.check(request)
    buffer = request.unreader.sock.buffer
    if not buffer.is_framed:
        request.force_close()


def _begin_work(_worker: Any) -> None:
    """Write what the worker counts."""
    call_counting.counter.start()


def _end_work(_server: Any, _worker: Any) -> None:
    """Write the rest of what the worker counted. gunicorn's main process, which counts nothing, calls it too."""
    call_counting.counter.stop()


def _after_fork(_server: Any, _worker: Any) -> None:
    """Close database connections, which must not be shared with the parent process."""
    connections.close_all()
