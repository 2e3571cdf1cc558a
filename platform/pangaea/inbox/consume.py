"""A batch becomes effects: cursor check, handlers, moving the cursor, in one transaction on the subscriber's side."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress

import structlog
from django.conf import settings
from django.db import DatabaseError, connections, transaction
from msgspec.structs import replace

from pangaea import modules
from pangaea.databases import errors
from pangaea.databases.errors import Kind
from pangaea.errors import HungMessage, LethalMessage, MalformedMessage
from pangaea.inbox import attempts, catch_up, dead_letters, held, in_flight, resuming, shadows
from pangaea.inbox.batches import Place, decode
from pangaea.inbox.cursors import Verdict, judge
from pangaea.inbox.dead_letters import describe
from pangaea.inbox.handling import handle
from pangaea.inbox.models import Cursor
from pangaea.inbox.retrying import GivenUp, Tries
from pangaea.inbox.subscriptions import Projection, Subscription
from pangaea.messages import EVERYBODY
from pangaea.wire import Batch, CatchUp

log = structlog.get_logger()

TRIES_ALONE = 2
"""How often a message alone may end in a time-out or a broken connection: three times with the batch as a whole."""


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
    return _apply_all(config.load_subscriptions(), batch, places)


def _apply_all(subscriptions: Iterable[Subscription], batch: Batch, places: list[Place]) -> list[CatchUp]:
    requests: list[CatchUp] = []
    for subscription in subscriptions:
        if not subscription.reads(batch.source, batch.audience):
            continue
        if isinstance(subscription, Projection) and batch.to in {None, subscription.shadow.name}:
            requests.extend(_apply_in_shadow(subscription, batch, places))
        if batch.to in {None, subscription.name}:
            try:
                request = apply(subscription, batch, places)
            except Exception as error:  # noqa: BLE001 - the others of the module must not wait for its remedy
                if not _give_up(subscription, batch, error):
                    break
            else:
                requests += [request] if request else []
    return requests


def _give_up(subscription: Subscription, batch: Batch, error: Exception) -> bool:
    """Let a batch be a gap to this subscription. That it is behind is noted, where the database can be reached.

    False where it cannot: the others of the module have the same one, and a gap as well.
    """
    kind = errors.kind_of(error, subscription.module)
    is_expected = kind is not None or isinstance(error, GivenUp)
    report = log.warning if is_expected else log.error
    report("batch given up", subscription=subscription.name, error=describe(error), exc_info=not is_expected)
    if kind is Kind.UNAVAILABLE:
        return False
    with suppress(DatabaseError), transaction.atomic(using=subscription.module):
        cursor, _ = held.lock(subscription, batch, set())
        catch_up.note_head(cursor, batch)
        held.move(cursor)
    return True


def _apply_in_shadow(projection: Projection, batch: Batch, places: list[Place]) -> list[CatchUp]:
    """Apply a batch to the shadow first, so that it is never behind. The live tables get the batch in any case."""
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


def apply(subscription: Subscription, batch: Batch, places: list[Place], tries: Tries | None = None) -> CatchUp | None:
    """Apply a batch to one subscription; a request if something before it was missed.

    All in one transaction; if that fails, COMMIT included, once more in ever smaller parts, a transaction each, and a
    message is parked only if it fails alone. A batch that ended its process again and again is applied one message at a
    time from the beginning, and the message at which the process then ends is parked, its crash counted. So is a batch
    whose process was ended because a handler did not return, at once, and that message is parked untried.

    An error of the module's own database that may pass is waited for, in all parts together as long as `tries` allows;
    what fails after that is parked like any other. Raises what the database raises where it cannot park either, and
    GivenUp where it is not to be parked.
    """
    alias = subscription.module
    tries = tries or Tries.begin(alias, is_of_shadow=subscription.is_shadow)
    if subscription.one_by_one and len(places) > 1:
        for place, alone in _one_by_one(batch, places):
            if request := apply(subscription, alone, [place], tries):
                return request
        return None
    if not connections[alias].in_atomic_block:
        connections[alias].close_if_unusable_or_obsolete()
        # Instead of asking whether the connection lives: the next statement shows it, and `tries` opens another.
        connections[alias].health_check_done = True  # type: ignore[attr-defined] # django-stubs omit it
    attempt = tries.run(lambda: attempts.begin(subscription, batch))
    if attempt is None and tries.run(lambda: _changes_nothing(subscription, batch, places)):
        return None
    if attempt is None and subscription.begins == "now" and batch.messages:
        # The cursor that the attempt is written down for may not be there yet, and does not begin at 0.
        tries.run(lambda: held.begin(subscription, batch))
        attempt = tries.run(lambda: attempts.begin(subscription, batch))
    with attempts.surviving(attempt):
        hung = in_flight.hung_among(subscription.name, places) if attempt else ()
        if attempt and (hung or attempt.culprit or attempt.number > settings.PANGAEA.deaths_at_most):
            log.warning("batch ended its process", subscription=subscription.name, times=attempt.number - 1)
            _apply_suspects(subscription, batch, places, attempt, tries, hung=hung)
        try:
            return tries.run(lambda: _apply_whole(subscription, batch, places), costly=1)
        except GivenUp:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it may be one message's
            log.info("batch is applied in parts", subscription=subscription.name, error=describe(error))
            failure = error
        _apply_parts(subscription, batch, places, tries, failure)
    return None


def _apply_parts(
    subscription: Subscription, batch: Batch, places: list[Place], tries: Tries, failure: Exception
) -> None:
    """Apply what failed as a whole in halves, in order, and a half that fails again likewise, down to one message.

    So one culprit among 1000 costs some twenty transactions, and the messages beside it hardly wait. Where failing
    takes long, halves that fail before the culprit is alone would cost the most: then each message comes alone at once.
    """
    if len(places) <= 1 or errors.kind_of(failure, subscription.module) in errors.PASSING:
        for place, alone in _one_by_one(batch, places):
            tries.check()
            _apply_one(subscription, alone, place, tries)
        return
    middle = len(places) // 2
    for half, before in ((places[:middle], batch.before), (places[middle:], places[middle - 1].id)):
        part = replace(batch, first=half[0].position, before=before, messages=[place.body for place in half])
        again = failure if len(half) == 1 else _failure_of(subscription, part, half, tries)
        if again:
            _apply_parts(subscription, part, half, tries, again)


def _failure_of(subscription: Subscription, batch: Batch, places: list[Place], tries: Tries) -> Exception | None:
    try:
        tries.run(lambda: _apply_whole(subscription, batch, places), costly=1)
    except GivenUp:
        raise
    except Exception as error:  # noqa: BLE001 - as above
        return error
    return None


def _apply_suspects(
    subscription: Subscription,
    batch: Batch,
    places: list[Place],
    attempt: attempts.Attempt,
    tries: Tries,
    *,
    hung: Sequence[Place],
) -> None:
    """Apply what is new one by one, each message written down before it is handled; the culprit parks.

    Of `hung`, the messages of the call that did not return, it is known where it is only one.
    """
    for place, alone in _one_by_one(batch, places):
        if list(hung) == [place]:
            seconds = settings.PANGAEA.job_time_limit.total_seconds()
            _park(subscription, alone, place, HungMessage(f"The handler did not return within {seconds:g} s."), tries)
        elif place.position == attempt.culprit:
            text = f"The process ended {attempt.number - 1} times, the last time while it handled this message alone."
            _park(subscription, alone, place, LethalMessage(text), tries)
        elif place.position > attempt.position:
            attempt.narrow(place.position)
            _apply_one(subscription, alone, place, tries)


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
        return batch.head <= cursor.head and cursor.began_at is None and not catch_up.is_answer(cursor, batch)
    # What is live beyond a gap says nothing that the answer on its way will not say.
    return verdict in {Verdict.GAP, Verdict.VERIFY} and batch.asked is None and catch_up.is_outstanding(cursor)


def _apply_whole(subscription: Subscription, batch: Batch, places: list[Place]) -> CatchUp | None:
    with transaction.atomic(using=subscription.module):
        cursor, stopped = held.lock(subscription, batch, {place.key for place in places})
        catch_up.note_head(cursor, batch)
        request = None
        asked_at, began_at = cursor.requested_at, cursor.began_at
        verdict = _judge(cursor, batch, places)
        if verdict is Verdict.APPLY:
            fresh = [place for place in places if place.position > cursor.position]
            free = [place for place in fresh if place.key not in stopped]
            handle(subscription, ((place.position, place.open()) for place in free), audience=batch.audience)
            for place in fresh:
                if place.key in stopped:
                    dead_letters.park(cursor, place)
            _advance(cursor, fresh[-1])
        else:
            request = _note(subscription, cursor, batch, verdict)
        catch_up.note_snapshot(cursor, batch)
        asks = asked_at is not None or cursor.requested_at is not None
        if cursor.state == Cursor.State.ACTIVE and not asks and began_at is None:
            held.move(cursor)
        else:
            cursor.save()
    return request


def _note(subscription: Subscription, cursor: Cursor, batch: Batch, verdict: Verdict) -> CatchUp | None:
    """What a batch that brings nothing to apply means for the cursor; the request that follows from it."""
    match verdict:
        case Verdict.GAP | Verdict.VERIFY:
            catch_up.ended(cursor, batch)
            return catch_up.request(cursor)
        case Verdict.KNOWN:
            catch_up.known(cursor, batch)
            return catch_up.request(cursor) if catch_up.lacks_snapshot(cursor, batch) else None
        case Verdict.BELOW_FLOOR if subscription.replayable and catch_up.may_begin_at_floor(cursor):
            catch_up.begin_at_floor(cursor)
            return catch_up.request(cursor)
        case Verdict.BELOW_FLOOR:
            _stop(subscription, cursor, Cursor.State.BELOW_FLOOR)
        case Verdict.DIVERGED:
            _stop(subscription, cursor, Cursor.State.DIVERGED)
    return None


def _apply_one(subscription: Subscription, batch: Batch, place: Place, tries: Tries) -> None:
    try:
        tries.run(lambda: _take(subscription, batch, place), costly=TRIES_ALONE)
    except GivenUp:
        raise
    except Exception as error:  # noqa: BLE001 - a letter has it
        _park(subscription, batch, place, error, tries)


def _park(subscription: Subscription, batch: Batch, place: Place, failure: Exception, tries: Tries) -> None:
    """Called where the failure is being handled, if it was raised: the log gets its traceback."""
    if tries.run(lambda: _take(subscription, batch, place, failure=failure)):
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
        catch_up.note_snapshot(cursor, batch)
        cursor.save()
    return True


def _judge(cursor: Cursor, batch: Batch, places: list[Place]) -> Verdict:
    if cursor.state != Cursor.State.ACTIVE:
        return Verdict.KNOWN
    ids = [place.id for place in places]
    decides = catch_up.decides(cursor, batch)
    verdict = judge(cursor.position, cursor.message_id, batch, ids, head=cursor.head, decides=decides)
    return Verdict.VERIFY if verdict is Verdict.APPLY and not catch_up.may_join(cursor, batch) else verdict


def _advance(cursor: Cursor, place: Place) -> None:
    cursor.advance(place.position, place.id)
    catch_up.progressed(cursor)


def _stop(subscription: Subscription, cursor: Cursor, state: Cursor.State) -> None:
    cursor.state = state
    log.error(
        "subscription stopped on one stream",
        subscription=cursor.subscription,
        stream=f"{cursor.source}.{cursor.audience}.{cursor.partition}",
        position=cursor.position,
        state=state.value,
        remedy=resuming.remedy(subscription),
    )
