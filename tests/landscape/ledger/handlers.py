"""Writes entries; fails, hangs or ends its process at the keys that the environment names."""

import os
import signal
import threading
from collections.abc import Sequence
from os import environ

from django.db import connections
from django.utils import timezone

from pangaea.inbox.subscriptions import Projection
from pangaea.messages import Received
from tests.landscape.ledger.acl import Ticked
from tests.landscape.ledger.models import Entry

POISON = environ.get("LANDSCAPE_POISON_KEY", "")
CRASHING = environ.get("LANDSCAPE_CRASHING_KEY", "")
HANGING = environ.get("LANDSCAPE_HANGING_KEY", "")
ENDLESS = environ.get("LANDSCAPE_ENDLESS_KEY", "")
"""The key at which the handler's statement does not end."""

ticks = Projection("ledger.ticks")


@ticks.on_batch(Ticked)
def write(messages: Sequence[Received[Ticked]]) -> None:
    """Write one entry per message."""
    moment = timezone.now()
    Entry.objects.bulk_create(
        Entry(
            key=message.key,
            writer=message.payload.writer,
            number=message.payload.number,
            published_at=message.payload.at,
            written_at=moment,
        )
        for message in messages
    )
    if any(message.key == CRASHING for message in messages):
        os.kill(os.getpid(), signal.SIGKILL)
    if any(message.key == HANGING for message in messages):
        print(f"hangs at {HANGING}", flush=True)  # noqa: T201 - a test waits for this line
        threading.Event().wait()
    if any(message.key == ENDLESS for message in messages):
        with connections["ledger"].cursor() as cursor:
            cursor.execute("SELECT pg_sleep(3600)")
    if any(message.key == POISON for message in messages):
        text = f"{POISON} is poison"
        raise ValueError(text)
