"""A ledger that web_bff declares as its own subscription, and its dead letters."""

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
    """Declare the ledger in web_bff while the context lasts."""
    module = modules.named(LISTENER)
    before = module.subscriptions
    vars(module)["subscriptions"] = (*before, f"{__name__}.subscription")
    try:
        yield ledger
    finally:
        del vars(module)["subscriptions"]
        ledger.poison.clear()


def retry(*, now: datetime) -> int:
    """Retry the letters that are due at that moment, as the worker's timer does; the number of letters."""
    return redriving.retry_due(LISTENER, now=now)


def redrive(listening: Subscription, key: str) -> int:
    """Redrive a key as an operator's command does, and return the number of applied letters. Raises its failure."""
    selection = Selection(module=LISTENER, subscription=listening.name, key=key)
    (*outcomes,) = redriving.redrive(selection, [listening])
    for outcome in outcomes:
        if outcome.failure:
            raise outcome.failure
    return sum(outcome.applied for outcome in outcomes)


def letters() -> list[DeadLetter]:
    """The dead letters, in the order of key and position."""
    return list(DeadLetter.objects.using(LISTENER).order_by("key", "position"))


def summary() -> list[Row]:
    """The dead letters: key, position, state, attempts."""
    return [(letter.key, letter.position, letter.state, letter.attempts) for letter in letters()]
