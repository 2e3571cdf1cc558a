"""A batch becomes effects: cursor check, handlers, moving the cursor, in one transaction on the subscriber's side."""

from collections.abc import Sequence
from contextlib import suppress
from functools import partial

import structlog
from django.conf import settings
from django.db import DatabaseError, transaction

from pangaea import modules
from pangaea.databases import errors, idle, outages
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
from pangaea.messages import ALL
from pangaea.modules import ModuleConfig
from pangaea.wire import Batch, CatchUp

log = structlog.get_logger()

TRIES_ALONE = 2
"""Time-outs or broken connections after which a message applied alone is parked; its whole batch may add a third."""


def receive(module: str, body: bytes, *, sender: str | None = None) -> list[CatchUp]:
    """Apply a batch to every subscription of the module that reads its stream. Returns the requests to send.

    A batch is logged and dropped if it cannot be read, if it holds commands of a module whose commands are refused, or
    if its source is not `sender`, the first word of the routing key, which the broker lets only that module write.
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
    idle.renew(module)
    for subscription in subscriptions:
        if not subscription.reads(batch.source, batch.audience):
            continue
        if isinstance(subscription, Projection) and (shadow := shadows.addressed(subscription, batch)):
            requests.append(_apply_in_shadow(shadow, Delivery(subscription.shadow, batch, messages)))
        if batch.to in {None, subscription.name}:
            delivery = Delivery(subscription, batch, messages)
            try:
                requests.append(apply(delivery))
            except Exception as error:  # noqa: BLE001 - the module's other subscriptions go on
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
    return batch.audience in {ALL, config.label}


def _apply_in_shadow(shadow: Shadow, delivery: Delivery) -> CatchUp | None:
    """Apply a batch to the shadow, before the live tables, so that the shadow is never behind them. Logs a failure."""
    try:
        with shadow.entered():
            return apply(delivery)
    except Exception as error:  # noqa: BLE001 - the shadow has a gap then, or was removed
        shadows.forget(delivery.module)
        log.warning("shadow skipped", subscription=delivery.subscription.name, error=parking.describe(error))
        return None


def _give_up(delivery: Delivery, error: Exception) -> bool:
    """Give up a batch: it becomes a gap of its subscription. The stream's head is noted if the database answers.

    A batch that is given up by an outage has no line of its own.

    False if the database does not answer: the module's other subscriptions share it, and have the same gap.
    """
    kind = errors.kind_of(error, delivery.module)
    if not outages.note(error, delivery.module):
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
    """Apply a batch to its subscription. Returns a request if an earlier message was missed.

    The batch is applied in one transaction. If that fails, at COMMIT too, it is applied in ever smaller parts, each in
    its own transaction, and a message is parked only if it fails alone.

    A batch that crashed its process too often is suspected: it is applied one message at a time from the beginning. The
    message at which the process then crashes is parked, and its crash counted. A batch whose process was ended because
    a handler did not return is suspected at once; if that handler had a single message, it is parked without another
    attempt.

    A transient error of the module's database is retried as long as `delivery.tries`, which all parts share, allows;
    after that the message is parked as after any other error. Raises the database's error if parking fails too, and
    GivenUp if the batch must wait for the database without being parked.
    """
    subscription, tries = delivery.subscription, delivery.tries
    if subscription.takes_commands and len(delivery.messages) > 1:
        # A command locks its rows in the order that its module prescribes. Two commands in one transaction would hold
        # the first command's locks while waiting for the second's, in no prescribed order, and deadlock with HTTP
        # requests.
        for part in delivery.one_by_one():
            if request := apply(part):
                return request
        return None
    attempt = tries.run(partial(attempts.begin, delivery))
    if attempt is None and tries.run(partial(Cursor.ignores, delivery)):
        return None
    if attempt is None and subscription.begins == "now" and delivery.messages:
        # The cursor may not exist yet, and does not begin at 0: an attempt is recorded at its position.
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
    """Apply a batch in one transaction; messages up to the cursor are skipped. Returns the request for a gap."""
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
    outages.end(delivery.module)
    return request


def _apply_parts(delivery: Delivery, failure: Exception) -> None:
    """Apply a delivery that failed as a whole: in halves, in order, each failing half split again, down to one message.

    One failing message among 1000 thus costs some twenty transactions, and the others hardly wait. A transient error
    takes long to fail, and each failing half would take as long again: after one, every message is applied alone.
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
    """Apply a suspected batch one message at a time, each recorded before it is handled; the crashing one is parked.

    `hung`: the messages of the handler call that did not return. A single one is parked without another attempt.
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
    except Exception as error:  # noqa: BLE001 - the dead letter records it
        _park(delivery, error)


def _park(delivery: Delivery, failure: Exception) -> None:
    """Park one message and log it. Call it inside the `except` of a raised failure: the log has its traceback then."""
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
    """Handle one message in its own transaction; given a failure, park it. False if it is not the cursor's next."""
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
    outages.end(delivery.module)
    return True
