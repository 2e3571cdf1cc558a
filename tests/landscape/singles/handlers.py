"""Keeps the balances one message at a time, as most handlers do, with a pause that the environment may set."""

import threading
from os import environ

from django.db.models import F

from pangaea.inbox.subscriptions import Projection
from pangaea.messages import Received
from tests.landscape.singles.acl import Ticked
from tests.landscape.singles.models import Balance

PAUSE = float(environ.get("LANDSCAPE_PAUSE", "0"))

ticks = Projection("singles.ticks")


@ticks.on(Ticked)
def count(message: Received[Ticked]) -> None:
    """Add the tick to its key's balance."""
    tick = message.payload
    if PAUSE:
        threading.Event().wait(PAUSE)
    found = Balance.objects.filter(key=message.key).update(count=F("count") + 1, last=tick.number, published_at=tick.at)
    if not found:
        Balance.objects.create(key=message.key, count=1, last=tick.number, published_at=tick.at)
