"""Who listens to a module, as far as they report: what retention must not pass, and what an operator wants to see."""

import msgspec
import structlog
from django.utils import timezone

from pangaea.messages import EVERYBODY, UNDECODABLE, Report, module_of
from pangaea.outbox.models import Stream, Subscriber

log = structlog.get_logger()


def receive(module: str, body: bytes, *, sender: str | None = None) -> None:
    """Note a report from the bus.

    One that is malformed, of a stream that the sender may not read, or from another `sender` than it says, is logged
    and dropped.
    """
    try:
        report = msgspec.json.decode(body, type=Report)
    except UNDECODABLE as error:
        log.exception("report dropped: it cannot be read", module=module, error=str(error))
        return
    reader = module_of(report.subscription)
    readable = {EVERYBODY, reader}
    foreign = any(audience not in readable for audience, _, _ in report.cursors)
    if report.source != module or foreign or sender not in {None, reader}:
        log.error("report dropped: not a stream of its sender", module=module, subscription=report.subscription)
        return
    note(module, report)


def note(module: str, report: Report) -> None:
    """Write the report down in the module's schema. A position may be lower than the last: projections are rebuilt.

    A stream that the module does not have is created, and announced from then on: who has read it finds out that this
    outbox was emptied.
    """
    Stream.provide(module, {audience for audience, _, _ in report.cursors})
    moment = timezone.now()
    Subscriber.objects.using(module).bulk_create(
        [
            Subscriber(
                subscription=report.subscription,
                audience=audience,
                partition=partition,
                position=position,
                reported_at=moment,
            )
            for audience, partition, position in report.cursors
        ],
        update_conflicts=True,
        unique_fields=["audience", "partition", "subscription"],
        update_fields=["position", "reported_at"],
    )


def forget(module: str, subscription: str) -> int:
    """Strike out a subscription that is gone for good, so that retention no longer waits for it; the rows removed."""
    removed, _ = Subscriber.objects.using(module).filter(subscription=subscription).delete()
    return removed
