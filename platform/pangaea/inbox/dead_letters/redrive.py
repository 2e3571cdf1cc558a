"""Redrive: parked messages are attempted again, the lowest position of a key first, each in its own transaction.

All callers share one loop. An operator's command redrives in its own process; the admin makes letters due, and the
worker's timer attempts the letters that are due.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from time import monotonic
from typing import NamedTuple

import structlog
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from pangaea import modules
from pangaea.databases import errors, idle, migration_state
from pangaea.databases.errors import Kind
from pangaea.errors import PoisonMessage
from pangaea.inbox.batches import read_again
from pangaea.inbox.dead_letters.key_queue import KeyQueue
from pangaea.inbox.dead_letters.parking import describe, pause, trace
from pangaea.inbox.dead_letters.selection import Selection
from pangaea.inbox.handling import handle
from pangaea.inbox.models import DeadLetter
from pangaea.inbox.subscriptions import Subscription

log = structlog.get_logger()
State = DeadLetter.State

ROUND_TIME = 0.5
"""Seconds after which a round of retries ends: the batches of the same worker wait meanwhile."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """The outcome for one key on one stream: how many letters were applied, and the failure that ended it, if any.

    `error` describes the failure, or is the reason why nothing was attempted.
    """

    subscription: str
    key: str
    applied: int
    error: str = ""
    failure: Exception | None = None


class Attempted(NamedTuple):
    """One attempt at a letter: whether the letter was applied, or what the attempt raised."""

    letter: DeadLetter
    applied: bool
    failure: Exception | None


def redrive(selection: Selection, subscriptions: Iterable[Subscription] | None = None) -> Iterator[Outcome]:
    """Apply the selected letters in this process. Yields one outcome per key of a stream.

    A key's order is kept: letters before a selected one are applied first, selected or not, and the first failure ends
    the work on the key. Letters behind the last selected one are then retried automatically. `subscriptions` defaults
    to the module's. Raises the error of an outage, which is no message's failure.
    """
    declared = _by_name(selection.module, subscriptions)
    for queue, last in selection.queues():
        name = queue.stream["subscription"]
        if name not in declared:
            text = f"{name} is not declared: discard its parked messages."
            yield Outcome(subscription=name, key=queue.key, applied=0, error=text)
            continue
        applied, failure = 0, None
        for attempted in _attempt_all(queue.letters().filter(position__lte=last).first, declared):
            applied, failure = applied + attempted.applied, attempted.failure
            if failure and is_outage(failure, declared[name]):
                raise failure
            if failure:
                break
        error = describe(failure) if failure else ""
        yield Outcome(subscription=name, key=queue.key, applied=applied, error=error, failure=failure)


def request(selection: Selection) -> int:
    """Let the worker redrive the keys of the selected letters. Returns the number of keys.

    The lowest letter of each key is made due; the letters behind it follow automatically.
    """
    count = 0
    for queue, _ in selection.queues():
        with transaction.atomic(using=selection.module):
            queue.lock()
            if lowest := queue.letters().first():
                lowest.let_retry(now=timezone.now())
        count += 1
    return count


def retry_due(module: str, subscriptions: Iterable[Subscription] | None = None, *, now: datetime | None = None) -> int:
    """Attempt the module's due letters, the lowest of each key. Returns how many were applied.

    When a letter is applied, the next of its key is due at once. The round ends when no letter is due, or after
    ROUND_TIME. Several processes may run rounds at once: each skips a letter that another process claimed first.
    Letters of an undeclared subscription wait for an operator. Raises the error of an outage, which is no message's
    failure.
    """
    idle.renew(module)
    declared = _by_name(module, subscriptions)
    letters = DeadLetter.objects.using(module).filter(state=State.RETRYING, subscription__in=declared)

    def first_due() -> DeadLetter | None:
        return letters.filter(next_attempt_at__lte=now or timezone.now()).order_by("next_attempt_at").first()

    ends, applied = monotonic() + ROUND_TIME, 0
    for attempted in _attempt_all(first_due, declared, now=now, is_automatic=True):
        applied += attempted.applied
        letter, failure = attempted.letter, attempted.failure
        if failure:
            if is_outage(failure, declared[letter.subscription]):
                raise failure
            facts = {"subscription": letter.subscription, "message": letter.name, "key": letter.key}
            log.info("retry failed", **facts, attempts=letter.attempts, error=describe(failure))
        if monotonic() > ends:
            break
    return applied


def _attempt_all(
    first: Callable[[], DeadLetter | None],
    subscriptions: dict[str, Subscription],
    *,
    now: datetime | None = None,
    is_automatic: bool = False,
) -> Iterator[Attempted]:
    """Attempt the letter that `first` returns; repeat until `first` returns None or the caller stops iterating."""
    while letter := first():
        moment = now or timezone.now()
        try:
            applied = attempt(subscriptions[letter.subscription], letter, now=moment, is_automatic=is_automatic)
        except Exception as error:  # noqa: BLE001 - whatever a handler raises is the outcome
            yield Attempted(letter, applied=False, failure=error)
        else:
            yield Attempted(letter, applied, failure=None)


def attempt(subscription: Subscription, letter: DeadLetter, *, now: datetime, is_automatic: bool = False) -> bool:
    """Attempt a letter once more, if it is still the lowest of its key. Returns whether it was applied.

    Raises the handler's exception. With `is_automatic`, the letter is attempted only if no other attempt has begun
    since it was read, and a letter that crashed its process too often is given up instead.
    """
    if is_automatic and letter.crashes > settings.PANGAEA.crashes_at_most:
        give_up(letter, PoisonMessage(f"The process ended {letter.crashes} times while it handled this message."))
        return False
    if not letter.claim(due=now + pause(letter.attempts + 1), if_unclaimed=is_automatic):
        return False
    try:
        return _apply(subscription, letter, now=now)
    except Exception as failure:
        if is_outage(failure, subscription):
            letter.unclaim()
        else:
            letter.note_failure(error=describe(failure), traceback=trace(failure))
            if letter.state == State.RETRYING and letter.attempts >= settings.PANGAEA.dead_letter_attempts:
                give_up(letter, failure)
        raise


def is_outage(error: Exception, subscription: Subscription) -> bool:
    """Whether the database, not the message, made an attempt fail: it is not counted, and other letters fail too."""
    kind = errors.kind_of(error, subscription.module)
    if kind is Kind.OUTDATED:
        return bool(migration_state.mismatch(subscription.module))
    return kind is Kind.UNAVAILABLE


def give_up(letter: DeadLetter, failure: Exception) -> bool:
    """End a letter's automatic retries, unless it was changed since it was read or claimed. Returns whether it did."""
    error = describe(failure)
    given_up = letter.give_up(error=error, traceback=trace(failure))
    if given_up:
        log.warning("dead letter given up", **letter.facts, state=State.DEAD.value, error=error)
    return given_up


def _apply(subscription: Subscription, letter: DeadLetter, *, now: datetime) -> bool:
    queue = KeyQueue.of(letter)
    with transaction.atomic(using=subscription.module):
        queue.lock()
        lowest = queue.letters().first()
        if lowest is None or lowest.pk != letter.pk:
            return False
        message = read_again(
            lowest.body,
            position=lowest.position,
            source=lowest.source,
            audience=lowest.audience,
            message_id=lowest.message_id,
            key=lowest.key,
        )
        handle(subscription, [message], audience=lowest.audience)
        lowest.delete()
        queue.promote(now=now)
    return True


def _by_name(module: str, subscriptions: Iterable[Subscription] | None) -> dict[str, Subscription]:
    found = modules.named(module).load_subscriptions() if subscriptions is None else subscriptions
    return {each.name: each for each in found}
