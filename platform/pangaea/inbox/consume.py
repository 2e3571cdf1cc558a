"""A batch becomes effects: cursor check, handlers, moving the cursor, in one transaction on the subscriber's side."""

from collections.abc import Sequence
from contextlib import suppress
from functools import partial

import structlog
from django.conf import settings
from django.db import DatabaseError, connections, transaction

from pangaea import modules
from pangaea.databases import errors
from pangaea.databases.errors import Kind
from pangaea.errors import HungMessage, MalformedMessage, PoisonMessage
from pangaea.inbox import attempts, in_flight
from pangaea.inbox.batches import Delivered, decode
from pangaea.inbox.cursor import Cursor, Verdict
from pangaea.inbox.dead_letters import parking
from pangaea.inbox.delivery import Delivery
from pangaea.inbox.handling import handle
from pangaea.inbox.rebuild import shadows
from pangaea.inbox.rebuild.shadows import Shadow
from pangaea.inbox.retrying import GivenUp
from pangaea.inbox.subscriptions import Projection
from pangaea.messages import EVERYBODY
from pangaea.modules import ModuleConfig
from pangaea.wire import Batch, CatchUp

log = structlog.get_logger()

TRIES_ALONE = 2
"""How often a message alone may end in a time-out or a broken connection: three times with the batch as a whole."""


def receive(module: str, body: bytes, *, sender: str | None = None) -> list[CatchUp]:
    """Apply a batch to every subscription of the module that reads its stream; the requests to send.

    A batch that cannot be read is logged and dropped. So is one from a module whose commands are not accepted, or whose
    source is not its `sender`: the routing key's first word, which the broker lets only that module write.
    """
    config = modules.named(module)
    subscriptions = config.load_subscriptions()
    try:
        batch, messages = decode(body)
    except MalformedMessage as error:
        log.exception("batch dropped", module=module, error=str(error))
        return []
    if not _is_accepted(config, batch, sender):
        return []
    requests: list[CatchUp | None] = []
    for subscription in subscriptions:
        if not subscription.reads(batch.source, batch.audience):
            continue
        if isinstance(subscription, Projection) and (shadow := shadows.addressed(subscription, batch)):
            requests.append(_apply_in_shadow(shadow, Delivery(subscription.shadow, batch, messages)))
        if batch.to in {None, subscription.name}:
            delivery = Delivery(subscription, batch, messages)
            try:
                requests.append(apply(delivery))
            except Exception as error:  # noqa: BLE001 - the module's other subscriptions must not wait for its remedy
                if not _give_up(delivery, error):
                    break
    return [request for request in requests if request]


def _is_accepted(config: ModuleConfig, batch: Batch, sender: str | None) -> bool:
    if sender not in {None, batch.source}:
        log.error("batch refused", module=config.label, sender=sender, reason=f"its source is {batch.source}")
        return False
    if batch.audience == config.label and batch.source not in config.accepts_commands_from:
        log.error("batch refused", module=config.label, sender=batch.source, reason="its commands are not accepted")
        return False
    return batch.audience in {EVERYBODY, config.label}


def _apply_in_shadow(shadow: Shadow, delivery: Delivery) -> CatchUp | None:
    """Apply a batch to the shadow first, so that it is never behind. The live tables get the batch in any case."""
    try:
        with shadow.entered():
            return apply(delivery)
    except Exception as error:  # noqa: BLE001 - to the shadow it is a gap, or the shadow was removed
        shadows.forget(delivery.module)
        log.warning("shadow skipped", subscription=delivery.subscription.name, error=parking.describe(error))
        return None


def _give_up(delivery: Delivery, error: Exception) -> bool:
    """Leave a batch as a gap to its subscription. Its lag is noted, where the database can be reached.

    False where it cannot: the module's other subscriptions have the same one, and a gap as well.
    """
    kind = errors.kind_of(error, delivery.module)
    is_expected = kind is not None or isinstance(error, GivenUp)
    report = log.warning if is_expected else log.error
    report(
        "batch given up",
        subscription=delivery.subscription.name,
        error=parking.describe(error),
        exc_info=not is_expected,
    )
    if kind is Kind.UNAVAILABLE:
        return False
    with suppress(DatabaseError), transaction.atomic(using=delivery.module):
        cursor, _ = Cursor.lock(delivery, set())
        cursor.note_head(delivery.batch)
        cursor.save()
    return True


def apply(delivery: Delivery) -> CatchUp | None:
    """Apply a batch to its subscription; a request if something before it was missed.

    All in one transaction; if that fails, COMMIT included, in ever smaller parts, a transaction each, and a message is
    parked only if it fails alone. A batch that ended its process again and again is suspected: it is applied one
    message at a time from the beginning, and the message at which the process then ends is parked, its crash counted.
    So is, at once, a batch whose process was ended because a handler did not return; that message is parked untried.

    An error of the module's own database that may pass is waited for, in all parts together as long as `tries` allows;
    what fails after that is parked like any other. Raises what the database raises where it cannot park either, and
    GivenUp where it is not to be parked.
    """
    subscription, module, tries = delivery.subscription, delivery.module, delivery.tries
    if subscription.takes_commands and len(delivery.messages) > 1:
        # A command locks what it works on in the order that its module has agreed on. Two in one transaction would hold
        # the first one's locks while they wait for the second's, in no order, and deadlock with requests over HTTP.
        for part in delivery.one_by_one():
            if request := apply(part):
                return request
        return None
    if not connections[module].in_atomic_block:
        connections[module].close_if_unusable_or_obsolete()
        # Instead of asking whether the connection lives: the next statement shows it, and `tries` opens another.
        connections[module].health_check_done = True  # type: ignore[attr-defined] # django-stubs omit it
    attempt = tries.run(partial(attempts.begin, delivery))
    if attempt is None and tries.run(partial(Cursor.ignores, delivery)):
        return None
    if attempt is None and subscription.begins == "now" and delivery.messages:
        # The cursor that the attempt is written down for may not be there yet, and does not begin at 0.
        tries.run(partial(Cursor.begin, delivery))
        attempt = tries.run(partial(attempts.begin, delivery))
    with attempts.surviving(attempt):
        hung = in_flight.hung_among(subscription.name, delivery.messages) if attempt else ()
        if attempt and (hung or attempt.crashed_at or attempt.number > settings.PANGAEA.crashes_at_most):
            _apply_suspected(delivery, attempt, hung)
        request, failure = tries.outcome(partial(_apply_whole, delivery), costly=1)
        if failure:
            log.info("batch split", subscription=subscription.name, error=parking.describe(failure))
            _apply_parts(delivery, failure)
    return request


def _apply_whole(delivery: Delivery) -> CatchUp | None:
    """At or before the cursor: known. Right after it: applied. Further on: a gap, whose request is given."""
    subscription, batch, messages = delivery.subscription, delivery.batch, delivery.messages
    keys, request = {message.key for message in messages}, None
    with transaction.atomic(using=delivery.module):
        cursor, stopped = Cursor.lock(delivery, keys)
        cursor.note_head(batch)
        verdict = cursor.judge(delivery)
        if verdict is Verdict.APPLY:
            unseen = [message for message in messages if message.position > cursor.position]
            free = [message for message in unseen if message.key not in stopped]
            handle(subscription, free, audience=batch.audience)
            for message in unseen:
                if message.key in stopped:
                    parking.park(cursor, message)
            cursor.advance(unseen[-1].position, unseen[-1].id)
        else:
            request = cursor.respond(delivery, verdict)
        cursor.note_snapshot(batch)
        cursor.save()
    return request


def _apply_parts(delivery: Delivery, failure: Exception) -> None:
    """Apply what failed as a whole in halves, in order, and a half that fails again likewise, down to one message.

    So one failing message among 1000 costs some twenty transactions, and those beside it hardly wait. Where failing
    takes long, halves that fail before it is alone would cost the most: then each message comes alone at once.
    """
    if len(delivery.messages) <= 1 or errors.kind_of(failure, delivery.module) in errors.PASSING:
        for part in delivery.one_by_one():
            part.tries.check()
            _apply_alone(part)
        return
    for half in delivery.halves():
        again: Exception | None = failure
        if len(half.messages) > 1:
            _, again = half.tries.outcome(partial(_apply_whole, half), costly=1)
        if again:
            _apply_parts(half, again)


def _apply_suspected(delivery: Delivery, attempt: attempts.Attempt, hung: Sequence[Delivered]) -> None:
    """Apply a suspected batch one by one, each message written down before it is handled; the crashing one parks.

    `hung` are those whose handler did not return: where it is only one, that message is known.
    """
    log.warning("suspected batch received", subscription=delivery.subscription.name, crashes=attempt.crashes)
    for part in delivery.one_by_one():
        (message,) = part.messages
        if list(hung) == [message]:
            seconds = settings.PANGAEA.job_time_limit.total_seconds()
            _park(part, HungMessage(f"The handler did not return within {seconds:g} s."))
        elif message.position == attempt.crashed_at:
            text = f"The process ended {attempt.crashes} times, the last time while it handled this message alone."
            _park(part, PoisonMessage(text))
        elif message.position > attempt.position:
            attempt.narrow(message.position)
            _apply_alone(part)


def _apply_alone(delivery: Delivery) -> None:
    try:
        delivery.tries.run(partial(_take, delivery), costly=TRIES_ALONE)
    except GivenUp:
        raise
    except Exception as error:  # noqa: BLE001 - the dead letter keeps it
        _park(delivery, error)


def _park(delivery: Delivery, failure: Exception) -> None:
    """Called where the failure is being handled, if it was raised: the log gets its traceback."""
    if delivery.tries.run(partial(_take, delivery, failure)):
        (message,) = delivery.messages
        log.error(
            "message parked",
            subscription=delivery.subscription.name,
            message=message.name,
            id=str(message.id),
            key=message.key,
            error=parking.describe(failure),
            exc_info=failure.__traceback__ is not None,
        )


def _take(delivery: Delivery, failure: Exception | None = None) -> bool:
    """One message in its own transaction: handled, or parked after a failure. False if the cursor is elsewhere."""
    (message,) = delivery.messages
    with transaction.atomic(using=delivery.module):
        cursor, stopped = Cursor.lock(delivery, {message.key})
        if cursor.judge(delivery) is not Verdict.APPLY:
            return False
        cursor.note_head(delivery.batch)
        if stopped or failure:
            parking.park(cursor, message, None if stopped else failure)
        else:
            handle(delivery.subscription, [message], audience=delivery.batch.audience)
        cursor.advance(message.position, message.id)
        cursor.note_snapshot(delivery.batch)
        cursor.save()
    return True
