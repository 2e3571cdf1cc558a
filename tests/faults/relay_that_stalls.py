"""A relay that sends, and then hangs before it settles. Run as a program, with the module's label as its argument.

The function that sends hangs after the broker's confirmation. From outside, the relay's process stops between the
confirmation and the record of it.
"""

import sys
import threading
from collections.abc import Sequence

import django

STALLED = "sent, and not settled"


def main(module: str) -> None:
    """Relay one module until the first batch with a message was sent; then wait to be killed."""
    django.setup()
    from pangaea.broker import celery_app, sending, topology
    from pangaea.outbox.batches import Outgoing
    from pangaea.outbox.models import Stream
    from pangaea.outbox.relay import Relay

    app = celery_app.app()
    topology.declare(app)

    def send_and_stall(batches: Sequence[Outgoing]) -> None:
        sending.send_batches(app, batches)
        sent = dict(Stream.objects.using(module).values_list("pk", "sent"))
        if any(batch.last > sent[batch.stream] for batch in batches):
            print(STALLED, flush=True)  # noqa: T201 - the test waits for this line
            threading.Event().wait()

    Relay(module, send_and_stall).run(threading.Event())


if __name__ == "__main__":
    main(sys.argv[1])
