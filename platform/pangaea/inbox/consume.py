"""A batch becomes effects: cursor check, handlers, moving the cursor, in one transaction on the subscriber's side."""

import random
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from typing import TypeVar

import structlog
from django.conf import settings
from django.db import connections, transaction
from django.utils import timezone
from msgspec.structs import replace

from pangaea import engines, modules
from pangaea.errors import LethalMessage, MalformedMessage
from pangaea.inbox import attempts, catch_up, dead_letters, held, shadows
from pangaea.inbox.batches import Place, decode
from pangaea.inbox.cursors import Verdict, judge
from pangaea.inbox.dead_letters import describe
from pangaea.inbox.handling import handle
from pangaea.inbox.models import Cursor
from pangaea.inbox.subscriptions import Projection, Subscription
from pangaea.messages import EVERYBODY, Batch, CatchUp

log = structlog.get_logger()
T = TypeVar("T")


def receive(module: str, body: bytes, *, sender: str | None = None) -> list[CatchUp]:
    """Apply a batch to every subscription of the module that reads its stream, and give the requests to send.

    What cannot be read as a batch, or comes from a module whose commands are not accepted, or from another `sender`
    than it says, is logged and dropped. That is the routing key's first word, which the broker lets it alone write.
    """
    config = modules.named(module)
    try:
        batch, places = decode(body)
    except MalformedMessage as error:
        log.exception("batch dropped: it cannot be read", module=module, error=str(error))
        return []
    if sender not in {None, batch.source}:
        log.error("batch refused: it is of another module than it says", module=module, sender=sender)
        return []
    if batch.audience not in {EVERYBODY, module}:
        return []
    if batch.audience == module and batch.source not in config.accepts_commands_from:
        log.error("batch refused: commands of this sender are not accepted", module=module, sender=batch.source)
        return []
    requests: list[CatchUp] = []
    for subscription in config.load_subscriptions():
        if not subscription.reads(batch.source, batch.audience):
            continue
        if isinstance(subscription, Projection) and batch.to in {None, subscription.shadow.name}:
            requests.extend(_apply_in_shadow(subscription, batch, places))
        if batch.to in {None, subscription.name}:
            requests.extend(_apply_apart(subscription, batch, places))
    return requests


def _apply_apart(subscription: Subscription, batch: Batch, places: list[Place]) -> list[CatchUp]:
    try:
        request = apply(subscription, batch, places)
    except Exception as error:
        if engines.of(subscription.module).is_transient(error):
            raise
        # To this subscription it is a gap; the others of the module must not wait for its remedy.
        log.exception("batch given up", subscription=subscription.name, error=describe(error))
        return []
    return [request] if request else []


def _apply_in_shadow(projection: Projection, batch: Batch, places: list[Place]) -> list[CatchUp]:
    """What serves comes after its shadow, so that the shadow is never behind, and comes whatever becomes of that."""
    shadow = shadows.of(projection, fresh=batch.to is not None)
    if shadow is None:
        return []
    try:
        with shadow.entered():
            request = apply(projection.shadow, batch, places)
    except Exception as error:  # noqa: BLE001 - to the shadow it is a gap, or there is no shadow any more
        shadows.forget(projection.module)
        log.warning("shadow passed over", subscription=projection.name, error=describe(error))
        return []
    return [request] if request else []


def apply(subscription: Subscription, batch: Batch, places: list[Place]) -> CatchUp | None:
    """Apply a batch to one subscription; a request if something before it was missed.

    All in one transaction; if that fails, COMMIT included, once more in ever smaller parts, a transaction each, and a
    message is parked only if it fails alone. A batch that ended its process again and again is applied one message at a
    time from the beginning, and the message at which the process then ends is dead.
    """
    alias = subscription.module
    if subscription.one_by_one and len(places) > 1:
        for place, alone in _one_by_one(batch, places):
            if request := apply(subscription, alone, [place]):
                return request
        return None
    if not connections[alias].in_atomic_block:
        connections[alias].close_if_unusable_or_obsolete()
        # Instead of asking whether the connection lives: the next statement shows it, and `_retrying` opens another.
        connections[alias].health_check_done = True  # type: ignore[attr-defined] # django-stubs omit it
    attempt = _retrying(alias, lambda: attempts.begin(subscription, batch))
    if attempt is None and _retrying(alias, lambda: _changes_nothing(subscription, batch, places)):
        return None
    with attempts.surviving(attempt):
        if attempt and (attempt.culprit or attempt.number > settings.PANGAEA.deaths_at_most):
            log.warning("batch ended its process", subscription=subscription.name, times=attempt.number - 1)
            _apply_suspects(subscription, batch, places, attempt)
        try:
            return _retrying(alias, lambda: _apply_whole(subscription, batch, places))
        except Exception as error:
            if engines.of(alias).is_transient(error):
                raise
            log.info("batch is applied in parts", subscription=subscription.name, error=describe(error))
        _apply_parts(subscription, batch, places)
    return None


def _apply_parts(subscription: Subscription, batch: Batch, places: list[Place]) -> None:
    """Apply what failed as a whole in halves, in order, and a half that fails again likewise, down to one message.

    So one culprit among 1000 costs some twenty transactions, and the messages beside it hardly wait.
    """
    if len(places) <= 1:
        for place in places:
            _apply_one(subscription, batch, place)
        return
    middle = len(places) // 2
    for half, before in ((places[:middle], batch.before), (places[middle:], places[middle - 1].id)):
        part = replace(batch, first=half[0].position, before=before, messages=[place.body for place in half])
        if len(half) == 1 or not _goes_whole(subscription, part, half):
            _apply_parts(subscription, part, half)


def _goes_whole(subscription: Subscription, batch: Batch, places: list[Place]) -> bool:
    try:
        _retrying(subscription.module, lambda: _apply_whole(subscription, batch, places))
    except Exception as error:
        if engines.of(subscription.module).is_transient(error):
            raise
        return False
    return True


def _apply_suspects(subscription: Subscription, batch: Batch, places: list[Place], attempt: attempts.Attempt) -> None:
    """Apply what is new one by one, each message written down before it is handled; the lethal one parks."""
    for place, alone in _one_by_one(batch, places):
        if place.position == attempt.culprit:
            text = f"The process ended {attempt.number - 1} times, the last time while it handled this message alone."
            _park(subscription, alone, place, LethalMessage(text))
        elif place.position > attempt.position:
            attempt.narrow(place.position)
            _apply_one(subscription, alone, place)


def _one_by_one(batch: Batch, places: list[Place]) -> Iterator[tuple[Place, Batch]]:
    before = batch.before
    for place in places:
        yield place, replace(batch, first=place.position, before=before, messages=[place.body])
        before = place.id


def _changes_nothing(subscription: Subscription, batch: Batch, places: list[Place]) -> bool:
    """Whether a batch that brings nothing to apply leaves the cursor as it is: found out without the lock."""
    cursor = held.look(subscription, batch)
    if cursor is None:
        return False
    verdict = _judge(cursor, batch, places)
    if verdict is Verdict.KNOWN:
        return batch.head <= cursor.head and not catch_up.is_answer(cursor, batch)
    # What is live beyond a gap says nothing that the answer on its way will not say.
    return verdict in {Verdict.GAP, Verdict.VERIFY} and batch.asked is None and catch_up.is_outstanding(cursor)


def _apply_whole(subscription: Subscription, batch: Batch, places: list[Place]) -> CatchUp | None:
    with transaction.atomic(using=subscription.module):
        cursor, stopped = held.lock(subscription, batch, {place.key for place in places})
        catch_up.note_head(cursor, batch)
        request = None
        asked_at = cursor.requested_at
        match _judge(cursor, batch, places):
            case Verdict.APPLY:
                fresh = [place for place in places if place.position > cursor.position]
                free = [place for place in fresh if place.key not in stopped]
                handle(subscription, ((place.position, place.open()) for place in free), audience=batch.audience)
                for place in fresh:
                    if place.key in stopped:
                        dead_letters.park(cursor, place)
                _advance(cursor, fresh[-1])
            case Verdict.GAP | Verdict.VERIFY:
                catch_up.ended(cursor, batch)
                request = catch_up.request(cursor)
            case Verdict.KNOWN:
                catch_up.known(cursor, batch)
            case Verdict.DIVERGED:
                _stop(cursor, Cursor.State.DIVERGED)
            case Verdict.BELOW_FLOOR:
                _stop(cursor, Cursor.State.BELOW_FLOOR)
        if cursor.state == Cursor.State.ACTIVE and asked_at is None and cursor.requested_at is None:
            held.move(cursor)
        else:
            cursor.save()
    return request


def _apply_one(subscription: Subscription, batch: Batch, place: Place) -> None:
    try:
        _retrying(subscription.module, lambda: _take(subscription, batch, place))
    except Exception as error:
        if engines.of(subscription.module).is_transient(error):
            raise
        _park(subscription, batch, place, error)


def _park(subscription: Subscription, batch: Batch, place: Place, failure: Exception) -> None:
    """Called where the failure is being handled, if it was raised: the log gets its traceback."""
    if _retrying(subscription.module, lambda: _take(subscription, batch, place, failure=failure)):
        log.error(
            "message parked",
            subscription=subscription.name,
            message=place.name,
            id=str(place.id),
            key=place.key,
            error=describe(failure),
            exc_info=failure.__traceback__ is not None,
        )


def _take(subscription: Subscription, batch: Batch, place: Place, *, failure: Exception | None = None) -> bool:
    """One message in its own transaction: handled, or parked after a failure. False if the cursor is elsewhere."""
    with transaction.atomic(using=subscription.module):
        cursor, stopped = held.lock(subscription, batch, {place.key})
        if _judge(cursor, batch, [place]) is not Verdict.APPLY:
            return False
        catch_up.note_head(cursor, batch)
        if stopped:
            dead_letters.park(cursor, place)
        elif failure:
            dead_letters.park(cursor, place, failure)
        else:
            handle(subscription, [(place.position, place.open())], audience=batch.audience)
        _advance(cursor, place)
        cursor.save()
    return True


def _judge(cursor: Cursor, batch: Batch, places: list[Place]) -> Verdict:
    if cursor.state != Cursor.State.ACTIVE:
        return Verdict.KNOWN
    ids = [place.id for place in places]
    decides = catch_up.decides(cursor, batch)
    return judge(cursor.position, cursor.message_id, batch, ids, head=cursor.head, decides=decides)


def _advance(cursor: Cursor, place: Place) -> None:
    cursor.advance(place.position, place.id)
    catch_up.progressed(cursor)


def _stop(cursor: Cursor, state: Cursor.State) -> None:
    cursor.state = state
    log.error(
        "subscription stopped on one stream",
        subscription=cursor.subscription,
        stream=f"{cursor.source}.{cursor.audience}.{cursor.partition}",
        position=cursor.position,
        state=state.value,
        remedy=state.label,
    )


def _retrying(alias: str, work: Callable[[], T]) -> T:
    """Do it again while the error is transient, backing off, holding the broker's message: requeueing reorders."""
    until = timezone.now() + settings.PANGAEA.transient_retry
    for pause in _pauses():
        try:
            return work()
        except Exception as error:
            if timezone.now() + pause > until or not engines.of(alias).is_transient(error):
                raise
            log.warning("transient database error", module=alias, error=str(error))
            if not connections[alias].in_atomic_block:
                connections[alias].close()
            time.sleep(pause.total_seconds())
    raise AssertionError  # the pauses do not end


def _pauses() -> Iterable[timedelta]:
    step = 0.05
    while True:
        yield timedelta(seconds=step * random.uniform(0.5, 1))  # noqa: S311 - jitter, not a secret
        step = min(step * 2, 2.0)
