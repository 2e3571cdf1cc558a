"""The subscriptions that report to a module. Retention deletes nothing that they have not read; operators see them."""

from typing import Any

import msgspec
import structlog
from django.db import models
from django.utils import timezone

from pangaea.messages import ALL, module_of
from pangaea.outbox.models import Stream, Subscriber
from pangaea.wire import UNDECODABLE, Report

log = structlog.get_logger()

SUBSCRIPTIONS_AT_MOST = 64
"""Subscriptions of one module that a producer records. Without this limit, a module that invents names would fill the
producer's tables and hold back retention."""


def receive(module: str, body: bytes, *, sender: str | None = None) -> None:
    """Record a report from the bus.

    A report that is malformed, names a stream that the subscriber may not read, or has another `sender` than the
    module that it names, is logged and dropped.
    """
    try:
        report = msgspec.json.decode(body, type=Report)
    except UNDECODABLE as error:
        log.exception("report dropped", reason="unreadable", module=module, error=str(error))
        return
    reader = module_of(report.subscription)
    readable = {ALL, reader}
    foreign = any(audience not in readable for audience, _, _ in report.cursors)
    if report.source != module or foreign or sender not in {None, reader}:
        log.error(
            "report dropped",
            reason="its sender may not read one of the streams",
            module=module,
            subscription=report.subscription,
        )
        return
    if is_one_too_many(Subscriber.objects.using(module), report.subscription):
        log.error(
            "report dropped",
            reason="its module has too many subscriptions",
            module=module,
            subscription=report.subscription,
        )
        return
    note(module, report)


def is_one_too_many(rows: "models.QuerySet[Any]", subscription: str) -> bool:
    """Whether a subscription is new among these rows, and its module has SUBSCRIPTIONS_AT_MOST already."""
    if rows.filter(subscription=subscription).exists():
        return False
    known = rows.filter(subscription__startswith=f"{module_of(subscription)}.").values("subscription").distinct()
    return known.count() >= SUBSCRIPTIONS_AT_MOST


def note(module: str, report: Report) -> None:
    """Record the report in the module's schema. A position may be lower than the last one, after a rebuild.

    A missing stream is created, and announced from then on, so that a subscriber that has read it detects that this
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
            for (audience, partition), position in _positions(report).items()
        ],
        update_conflicts=True,
        unique_fields=["audience", "partition", "subscription"],
        update_fields=["position", "reported_at"],
    )


def _positions(report: Report) -> dict[tuple[str, int], int]:
    return {(audience, partition): position for audience, partition, position in report.cursors}


def forget(module: str, subscription: str) -> int:
    """Delete an ended subscription, so that retention no longer waits for it. Returns the number of deleted rows."""
    removed, _ = Subscriber.objects.using(module).filter(subscription=subscription).delete()
    return removed
