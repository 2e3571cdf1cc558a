"""Programs that publish one tick each: `python -m tests.faults.writers dies|forks`."""

import os
import signal
import sys
from datetime import UTC, datetime
from functools import partial

import django


def main(how: str) -> None:
    """Publish one tick, and end the process after the commit (`dies`), or publish from parent and child (`forks`)."""
    django.setup()
    from django.db import connections, transaction

    from pangaea import outbox
    from tests.landscape.source.messages import Ticked

    def publish(number: int, *, dies: bool = False) -> None:
        with transaction.atomic(using="source"):
            if dies:
                # Before the wake-up that `publish` asks for.
                transaction.on_commit(partial(os.kill, os.getpid(), signal.SIGKILL), using="source")
            outbox.publish(Ticked(writer=1, number=number, at=datetime.now(UTC), filler=""), key="key")
        connections.close_all()

    if how == "dies":
        publish(1, dies=True)
        return
    publish(1)
    if child := os.fork():
        _, status = os.waitpid(child, 0)
        publish(3)
        sys.exit(os.waitstatus_to_exitcode(status))
    publish(2)
    sys.exit()


if __name__ == "__main__":
    main(sys.argv[1])
