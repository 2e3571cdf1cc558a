"""How a web process ends: not ready at once, still serving until everybody knows, then without what is in flight.

Whoever balances load learns from /readyz, seconds after SIGTERM. Were the door closed at once, what it sends until then
would be refused. The whole may take SHUTDOWN_GRACE: then gunicorn's main process ends its workers.
"""

import threading
from types import FrameType

from django.conf import settings

from pangaea.health import readiness
from pangaea.processes.web.gathering_worker import GatheringWorker


class DrainingWorker(GatheringWorker):
    """The web process's worker with that end. A second SIGTERM changes nothing."""

    _told = False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._told:
            return
        self._told = True
        readiness.begin_shutdown()
        close = threading.Timer(settings.PANGAEA.shutdown_delay.total_seconds(), super().handle_exit, args=[sig, frame])
        close.daemon = True
        close.start()

    def set_accept_enabled(self, enabled: bool) -> None:  # noqa: FBT001 - gunicorn's signature
        super().set_accept_enabled(enabled)
        if self.alive or enabled:
            return
        for listener in self.sockets:
            # Who stands in the queue is let in. Later ones are refused at once and go elsewhere, where gunicorn would
            # leave them in the queue until the process ends.
            while self.accept(listener):
                pass
            listener.close()
