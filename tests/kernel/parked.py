"""A ledger that web_bff declares like a subscription of its own, and what its dead letters look like."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from pangaea import modules
from pangaea.inbox.dead_letters import redrive as redriving
from pangaea.inbox.dead_letters.selection import Selection
from pangaea.inbox.models import DeadLetter
from pangaea.inbox.subscriptions import Subscription
from pangaea.outbox.relay import partition_of
from tests.kernel.pipeline import LISTENER, Ledger

ledger = Ledger()
subscription = ledger.subscription

NEIGHBOUR = next(key for key in map(str, range(99)) if partition_of(key) == partition_of("a"))
"""Another key of the same stream."""
Row = tuple[str, int, str, int]


@contextmanager
def declared() -> Iterator[Ledger]:
    """The ledger, as long as web_bff declares it."""
    module = modules.named(LISTENER)
    before = module.subscriptions
    vars(module)["subscriptions"] = (*before, f"{__name__}.subscription")
    try:
        yield ledger
    finally:
        del vars(module)["subscriptions"]
        ledger.poison.clear()


def retry(*, now: datetime) -> int:
    """Let the worker's timer come at that moment."""
    return redriving.retry_due(LISTENER, now=now)


def redrive(listening: Subscription, key: str) -> int:
    """Redrive a key as an operator's command does; the number applied. Raises the failure that ended it."""
    selection = Selection(module=LISTENER, subscription=listening.name, key=key)
    (*outcomes,) = redriving.redrive(selection, [listening])
    for outcome in outcomes:
        if outcome.failure:
            raise outcome.failure
    return sum(outcome.applied for outcome in outcomes)


def letters() -> list[DeadLetter]:
    """What is parked, in order."""
    return list(DeadLetter.objects.using(LISTENER).order_by("key", "position"))


def summary() -> list[Row]:
    """What is parked: key, position, state, attempts."""
    return [(letter.key, letter.position, letter.state, letter.attempts) for letter in letters()]
