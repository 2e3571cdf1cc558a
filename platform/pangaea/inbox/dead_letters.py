"""Messages that could not be applied. One stops its own key and nothing else; redrive keeps the key's order.

Whatever changes which letter is the lowest of its key does so under the cursor's lock: under it, too, the consumer
decides whether a message parks behind. Otherwise one could wait behind nothing.
"""

import random
import traceback
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import F, QuerySet
from django.utils import timezone

from pangaea.databases import errors, migration_state
from pangaea.databases.errors import Kind
from pangaea.errors import Invalid, LethalMessage
from pangaea.inbox.batches import Place, read_envelope
from pangaea.inbox.handling import handle
from pangaea.inbox.models import Cursor, DeadLetter, DiscardedLetter
from pangaea.inbox.subscriptions import Subscription

log = structlog.get_logger()
State = DeadLetter.State
STREAM = ("subscription", "source", "audience", "partition")


def park(cursor: Cursor, place: Place, failure: Exception | None = None) -> None:
    """Set a message aside, with why it failed; without a failure it waits behind an earlier one of its key."""
    letter = DeadLetter(
        **_place(cursor),
        position=place.position,
        message_id=place.id,
        key=place.key,
        name=place.name,
        body=_storable(bytes(place.body).decode(errors="backslashreplace")),
    )
    if failure:
        letter.error, letter.traceback, letter.attempts = describe(failure), _trace(failure), 1
        letter.state, letter.next_attempt_at = State.RETRYING, timezone.now() + pause(1)
        # One crash is no proof: whatever ended the process may have struck while this message happened to be handled.
        letter.deaths = int(isinstance(failure, LethalMessage))
    letter.save(using=cursor._state.db)


def describe(failure: Exception) -> str:
    """The error in a line or a few, whatever its own words are: a message must not stop a stream by how it fails."""
    return _storable("".join(traceback.format_exception_only(failure)).strip())


def pause(attempts: int) -> timedelta:
    """How long to wait after so many attempts: doubling up to a limit, at random between a half of it and all.

    The spread keeps messages that failed together from coming back together (exponential backoff with equal jitter,
    M. Brooker, AWS Architecture Blog, 2015).
    """
    longest = settings.PANGAEA.dead_letter_pause_at_most.total_seconds()
    # Long before the 32nd doubling any limit is passed, and a float would overflow later.
    seconds = min(settings.PANGAEA.dead_letter_pause.total_seconds() * 2 ** min(attempts - 1, 32), longest)
    return timedelta(seconds=seconds * random.uniform(0.5, 1))  # noqa: S311 - jitter, not a secret


def redrive(subscription: Subscription, key: str) -> int:
    """Apply the parked messages of a key again, lowest position first, a transaction each; the number applied.

    Stops at the first that fails again, raising what its handler raised; that one and those behind it stay parked.
    """
    letters = DeadLetter.objects.using(subscription.module).filter(subscription=subscription.name, key=key)
    applied = 0
    for source, audience in letters.values_list("source", "audience").distinct().order_by("source", "audience"):
        queue = letters.filter(source=source, audience=audience).order_by("position")
        while letter := queue.first():
            applied += attempt(subscription, letter, now=timezone.now())
    return applied


def attempt(subscription: Subscription, letter: DeadLetter, *, now: datetime, if_unclaimed: bool = False) -> bool:
    """Try a letter once more, if it is still the lowest of its key; whether it was applied.

    Raises what its handler raises. The attempt is counted before the handler runs: should the process end with it, the
    letter is due again later all the same, and its deaths are known. `if_unclaimed`: only if no other attempt has begun
    since the letter was read.
    """
    # A letter that is dead stays so until it is applied: whoever redrives it by hand has seen the outcome.
    is_dead = letter.state == State.DEAD
    due = None if is_dead else now + pause(letter.attempts + 1)
    letters = DeadLetter.objects.using(subscription.module).filter(pk=letter.pk)
    claimed = (letters.filter(attempts=letter.attempts) if if_unclaimed else letters).update(
        attempts=F("attempts") + 1,
        deaths=F("deaths") + 1,
        state=State.DEAD if is_dead else State.RETRYING,
        next_attempt_at=due,
    )
    if not claimed:
        return False
    try:
        return _apply(subscription, letter, now=now)
    except Exception as error:
        if is_outage(error, subscription):
            letters.update(attempts=letter.attempts, deaths=0)
        else:
            _note(letters, error, attempts=letter.attempts + 1, due=due)
        raise


def is_outage(error: Exception, subscription: Subscription) -> bool:
    """Whether an attempt failed for a reason that is no message's: it does not count, and others would fail too."""
    kind = errors.kind_of(error, subscription.module)
    if kind is Kind.OUTDATED:
        return bool(migration_state.mismatch(subscription.module))
    return kind is Kind.UNAVAILABLE


def give_up(letter: DeadLetter, failure: Exception) -> bool:
    """End this letter's automatic retries; whether that was done.

    Nothing happens if the letter was changed since it was read: an operator has asked for a redrive or has discarded
    it, or another attempt has begun.
    """
    unchanged = {name: getattr(letter, name) for name in ("state", "attempts", "deaths", "next_attempt_at")}
    error = describe(failure)
    given_up = (
        DeadLetter.objects.using(str(letter._state.db))
        .filter(pk=letter.pk, **unchanged)
        .update(state=State.DEAD, next_attempt_at=None, error=error, traceback=_trace(failure))
    )
    if given_up:
        _say("dead letter given up", letter, error=error)
    return bool(given_up)


def let_retry(letter: DeadLetter, *, now: datetime) -> None:
    """Make this letter, the lowest of its key, due. One that is dead gets one attempt. The caller holds the lock."""
    letter.state, letter.next_attempt_at = State.RETRYING, now
    letter.deaths = min(letter.deaths, settings.PANGAEA.deaths_at_most)
    letter.save(update_fields=["state", "next_attempt_at", "deaths"])


def discard(letter: DeadLetter, *, reason: str, by: str) -> bool:
    """Take a letter out of its key's way for good. It is kept, with the reason and who gave it; the next one is due.

    Raises Invalid without a reason. False if the letter has been applied or discarded since it was read.
    """
    reason = reason.strip()
    if not reason:
        raise Invalid("reason_missing", "Say why this message will never be applied: others will ask.")
    module = str(letter._state.db)
    with transaction.atomic(using=module):
        cursor = _lock(letter)
        found = DeadLetter.objects.using(module).filter(pk=letter.pk).first()
        if found is None:
            return False
        kept = ("position", "key", "name", "body", "error", "attempts", "parked_at")
        DiscardedLetter.objects.using(module).create(
            **_place(cursor), **{name: getattr(found, name) for name in kept}, discarded_by=by, reason=reason
        )
        found.delete()
        _promote(cursor, found.key, now=timezone.now())
    _say("dead letter discarded", found, reason=reason, by=by)
    return True


def _apply(subscription: Subscription, letter: DeadLetter, *, now: datetime) -> bool:
    with transaction.atomic(using=subscription.module):
        cursor = _lock(letter)
        lowest = _of_key(cursor, letter.key).first()
        if lowest is None or lowest.pk != letter.pk:
            return False
        envelope = read_envelope(
            lowest.body,
            source=lowest.source,
            audience=lowest.audience,
            message_id=lowest.message_id,
            key=lowest.key,
        )
        handle(subscription, [(lowest.position, envelope)], audience=lowest.audience)
        lowest.delete()
        _promote(cursor, letter.key, now=now)
    return True


def _note(letters: "QuerySet[DeadLetter]", failure: Exception, *, attempts: int, due: datetime | None) -> None:
    letters.update(error=describe(failure), traceback=_trace(failure), deaths=0)
    if attempts >= settings.PANGAEA.dead_letter_attempts:
        # One that is due at another time is an operator's decision, or another attempt's.
        for letter in letters.filter(state=State.RETRYING, attempts=attempts, next_attempt_at=due):
            give_up(letter, failure)


def _promote(cursor: Cursor, key: str, *, now: datetime) -> None:
    """Let the lowest of a key, which waited behind another, have its own attempts."""
    lowest = _of_key(cursor, key).first()
    if lowest and lowest.state == State.BEHIND:
        let_retry(lowest, now=now)


def _lock(letter: DeadLetter) -> Cursor:
    return Cursor.objects.using(letter._state.db).select_for_update().get(**_place(letter))


def _of_key(cursor: Cursor, key: str) -> "QuerySet[DeadLetter]":
    return DeadLetter.objects.using(cursor._state.db).filter(**_place(cursor), key=key).order_by("position")


def _place(row: Cursor | DeadLetter) -> dict[str, Any]:
    return {name: getattr(row, name) for name in STREAM}


def _trace(failure: Exception) -> str:
    return _storable("".join(traceback.format_exception(failure)))


def _storable(text: str) -> str:
    """Text that a database takes: no NUL and no half of a surrogate pair."""
    return text.encode(errors="backslashreplace").decode().replace("\0", "\\x00")


def _say(what: str, letter: DeadLetter, **facts: object) -> None:
    log.warning(
        what,
        subscription=letter.subscription,
        stream=f"{letter.source}.{letter.audience}.{letter.partition}",
        position=letter.position,
        message=letter.name,
        key=letter.key,
        **facts,
    )
