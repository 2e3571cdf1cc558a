"""`runserver` with the web process's own worker, so that the local profile answers every request as a deployment does.

Django's development server has a parser of its own, which accepts what gunicorn's refuses, and errors in HTML.
"""

import os
import selectors
import socketserver
from typing import Any

from django.conf import settings
from django.core.servers.basehttp import WSGIServer

from pangaea.api import shaping
from pangaea.processes.web import server
from pangaea.processes.web.gathering_worker import GatheringWorker


class LocalServer(WSGIServer):
    """The server class of `runserver`: Django binds the socket and reports its address, `LocalWorker` serves it."""

    request_queue_size = 128

    def serve_forever(self, poll_interval: float = 0.5) -> None:
        """Serve in this thread and a pool of others. Ends with the process, or by KeyboardInterrupt."""
        threads = shaping.THREADS if isinstance(self, socketserver.ThreadingMixIn) else 1
        options = server.options(settings.PANGAEA, bind="", workers=1, threads=threads)
        LocalWorker(server.WebServer(options).cfg, self).run()


class LocalWorker(GatheringWorker):
    """The worker, in a process that has no main process of gunicorn's, and in which Django handles the signals."""

    def __init__(self, cfg: Any, bound: LocalServer) -> None:
        super().__init__(0, os.getppid(), [bound.socket], None, server.WORKER_TIMEOUT, cfg, cfg.logger_class(cfg))
        self.wsgi = bound.get_app()
        self.tpool = self.get_thread_pool()
        self.poller = selectors.DefaultSelector()
        self.method_queue.init()

    def is_parent_alive(self) -> bool:
        """Serve on when the terminal is closed, as Django's server does."""
        return True
