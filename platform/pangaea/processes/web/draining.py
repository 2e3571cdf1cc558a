"""How a web process shuts down: it is unready at once, serves for SHUTDOWN_DELAY, then ends once requests are answered.

A load balancer notices the change of /readyz only seconds after SIGTERM. If the process stopped listening at once,
requests sent in these seconds would be refused. The whole shutdown may take SHUTDOWN_GRACE; then gunicorn's main
process ends its workers.
"""

import threading
from types import FrameType

from django.conf import settings

from pangaea.health import readiness
from pangaea.processes.web.gathering_worker import GatheringWorker


class DrainingWorker(GatheringWorker):
    """The web process's worker, with the shutdown described above. A second SIGTERM changes nothing."""

    _is_stopping = False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._is_stopping:
            return
        self._is_stopping = True
        readiness.begin_shutdown()
        close = threading.Timer(settings.PANGAEA.shutdown_delay.total_seconds(), super().handle_exit, args=[sig, frame])
        close.daemon = True
        close.start()

    def set_accept_enabled(self, enabled: bool) -> None:  # noqa: FBT001 - gunicorn's signature
        super().set_accept_enabled(enabled)
        if self.alive or enabled:
            return
        for listener in self.sockets:
            # Connections in the queue are accepted. Later ones are refused at once, so that clients try another
            # instance; gunicorn would leave them in the queue until the process ends.
            while self.accept(listener):
                pass
            listener.close()
