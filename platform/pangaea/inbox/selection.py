"""Which parked messages an operator means, and what may be done with them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import Max, QuerySet
from django.utils import timezone

from pangaea import modules
from pangaea.inbox import dead_letters
from pangaea.inbox.models import Cursor, DeadLetter
from pangaea.inbox.subscriptions import Subscription

QUEUE = (*dead_letters.STREAM, "key")
"""What makes letters wait for each other."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """Letters of one module that fulfil every condition given. `error` is a part of the error's text."""

    module: str
    subscription: str = ""
    key: str = ""
    name: str = ""
    error: str = ""
    state: str = ""
    ids: tuple[int, ...] = ()

    def letters(self) -> "QuerySet[DeadLetter]":
        """The letters, those of a key in its order."""
        conditions: dict[str, Any] = {
            "subscription": self.subscription,
            "key": self.key,
            "name": self.name,
            "error__icontains": self.error,
            "state": self.state,
            "pk__in": self.ids,
        }
        given = {field: value for field, value in conditions.items() if value}
        return DeadLetter.objects.using(self.module).filter(**given).order_by(*QUEUE, "position")


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What came of redriving one key on one stream: how many were applied, and the error that ended it, if one did."""

    subscription: str
    key: str
    applied: int
    error: str = ""


def redrive(selection: Selection) -> Iterator[Outcome]:
    """Apply what is selected, here and now; an outcome for each key.

    The order of a key holds: what lies before a selected letter is applied first, whether it is selected or not, and
    the first that fails ends its key. What lies behind is then tried by itself.
    """
    declared = {each.name: each for each in modules.named(selection.module).load_subscriptions()}
    for queue in _queues(selection):
        subscription = declared.get(queue["subscription"])
        if subscription is None:
            text = f"{queue['subscription']} is declared no more: discard what it left."
            yield Outcome(subscription=queue["subscription"], key=queue["key"], applied=0, error=text)
        else:
            yield _redrive(subscription, queue)


def _redrive(subscription: Subscription, queue: dict[str, Any]) -> Outcome:
    applied, error = 0, ""
    until = {name: value for name, value in queue.items() if name != "last"} | {"position__lte": queue["last"]}
    letters = DeadLetter.objects.using(subscription.module).filter(**until).order_by("position")
    while not error and (letter := letters.first()):
        try:
            applied += dead_letters.attempt(subscription, letter, now=timezone.now())
        except Exception as failure:  # noqa: BLE001 - whatever a handler raises is the outcome
            error = dead_letters.describe(failure)
    return Outcome(subscription=subscription.name, key=queue["key"], applied=applied, error=error)


def ask_for_redrive(selection: Selection) -> int:
    """Let the worker redrive what is selected, from the lowest of each key on; the number of keys.

    What is behind the lowest follows by itself.
    """
    queues = _queues(selection)
    for queue in queues:
        place = {name: queue[name] for name in dead_letters.STREAM}
        with transaction.atomic(using=selection.module):
            Cursor.objects.using(selection.module).select_for_update().filter(**place).first()
            letters = DeadLetter.objects.using(selection.module).filter(**place, key=queue["key"])
            lowest = letters.order_by("position").first()
            if lowest:
                dead_letters.let_retry(lowest, now=timezone.now())
    return len(queues)


def discard(selection: Selection, *, reason: str, by: str) -> int:
    """Discard what is selected; the number of letters that were still there. Raises Invalid without a reason."""
    return sum(dead_letters.discard(letter, reason=reason, by=by) for letter in selection.letters())


def _queues(selection: Selection) -> list[dict[str, Any]]:
    return list(selection.letters().order_by().values(*QUEUE).annotate(last=Max("position")).order_by(*QUEUE))
