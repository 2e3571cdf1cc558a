"""Parked messages that are due, tried again by themselves."""

from datetime import datetime
from time import monotonic

import structlog
from django.conf import settings
from django.db import connections
from django.utils import timezone

from pangaea import modules
from pangaea.errors import LethalMessage
from pangaea.inbox import dead_letters
from pangaea.inbox.models import DeadLetter
from pangaea.inbox.subscriptions import Subscription

log = structlog.get_logger()

AT_A_TIME = 0.5
"""Seconds for one round: the batches of the same worker wait meanwhile."""


def retry_due(module: str, *, now: datetime | None = None) -> int:
    """Try the module's letters whose time has come, the lowest of each key first; the number applied.

    When one is applied, the next of its key is due at once. Goes on until none is due or the round is over. Several
    processes may do so at once: a letter that another one took first is left alone.
    """
    if not connections[module].in_atomic_block:
        connections[module].close_if_unusable_or_obsolete()
    subscriptions = {each.name: each for each in modules.named(module).load_subscriptions()}
    return retry(module, subscriptions, now=now)


def retry(module: str, subscriptions: dict[str, Subscription], *, now: datetime | None = None) -> int:
    """The same for these subscriptions alone. Letters of one that is declared no more wait for an operator."""
    ends, applied = monotonic() + AT_A_TIME, 0
    letters = DeadLetter.objects.using(module).filter(state=DeadLetter.State.RETRYING, subscription__in=subscriptions)
    while letter := letters.filter(next_attempt_at__lte=now or timezone.now()).order_by("next_attempt_at").first():
        applied += _retry(subscriptions[letter.subscription], letter, now=now or timezone.now())
        if monotonic() > ends:
            break
    return applied


def _retry(subscription: Subscription, letter: DeadLetter, *, now: datetime) -> bool:
    if letter.deaths > settings.PANGAEA.deaths_at_most:
        text = f"The process ended {letter.deaths} times while it handled this message."
        dead_letters.give_up(letter, LethalMessage(text))
        return False
    try:
        return dead_letters.attempt(subscription, letter, now=now, if_unclaimed=True)
    except Exception as error:
        if dead_letters.is_outage(error, subscription):
            raise
        log.info(
            "retry failed",
            subscription=letter.subscription,
            message=letter.name,
            key=letter.key,
            attempts=letter.attempts + 1,
            error=dead_letters.describe(error),
        )
        return False
