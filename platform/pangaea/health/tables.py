"""A module's state as tables of values and states: `manage.py streams` prints them, the admin's page shows them.

A row of the streams or subscriptions sums up partitions, which are its `parts`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone
from django.utils.timesince import timesince

from pangaea.health import states
from pangaea.health.states import Shown
from pangaea.health.stream_status import CursorStatus, ModuleStatus, StreamStatus, SubscriptionStatus
from pangaea.messages import ALL

Cell = str | int | Shown
SECONDS_UNTIL = 600
"""Ages below this many seconds are shown in seconds."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells under headers. `parts` is empty, or has one table for each row."""

    headers: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    parts: Sequence["Table"] = ()


def of_streams(status: ModuleStatus) -> Table:
    """One row per audience, whose parts are its partitions."""
    audiences = sorted({stream.audience for stream in status.streams} | status.unsequenced.keys())
    own = {each: [stream for stream in status.streams if stream.audience == each] for each in audiences}
    return Table(
        ("publishes to", "head", "sent", "floor", "retained", "waiting", "oldest unsent", "state"),
        [_stream_row(each, own[each], status) for each in audiences],
        [_partitions(own[each]) for each in audiences],
    )


def of_subscriptions(status: ModuleStatus) -> Table:
    """One row per subscription, whose parts are its cursors."""
    return Table(
        ("subscription", "cursor", "lag", "parked", "dead", "state"),
        [
            (
                each.name,
                sum(cursor.position for cursor in each.cursors),
                each.lag,
                each.parked,
                each.dead,
                states.of_subscription(each),
            )
            for each in status.subscriptions
        ],
        [_cursors(each) for each in status.subscriptions],
    )


def of_subscribers(status: ModuleStatus) -> Table:
    """One row per subscription that reports to the module."""
    return Table(
        ("subscriber", "lag", "last report"),
        [(each.name, each.lag, age(each.reported_at)) for each in status.subscribers],
    )


def of_queues(status: ModuleStatus) -> Table:
    """One row per queue of the module."""
    return Table(
        ("queue", "batches", "consumers", "state"),
        [
            (
                each.name,
                each.batches if each.exists else "-",
                "-" if each.consumers is None or not each.exists else each.consumers,
                states.of_queue(each),
            )
            for each in status.queues
        ],
    )


def age(moment: datetime | None) -> str:
    """How long ago this moment was: in seconds, then in minutes, hours or days."""
    if moment is None:
        return "-"
    seconds = (timezone.now() - moment).total_seconds()
    return f"{seconds:.0f} s ago" if seconds < SECONDS_UNTIL else f"{timesince(moment, depth=1)} ago"


def _stream_row(audience: str, streams: Sequence[StreamStatus], status: ModuleStatus) -> tuple[Cell, ...]:
    unsequenced = status.unsequenced.get(audience, 0)
    waiting = sum(stream.backlog for stream in streams) + unsequenced
    times = [stream.oldest_unsent for stream in streams]
    if unsequenced:
        times.append(status.oldest_unsequenced)
    oldest = min((each for each in times if each is not None), default=None)
    return (
        audience,
        sum(stream.head for stream in streams),
        sum(stream.sent for stream in streams),
        sum(stream.floor for stream in streams),
        sum(stream.retained for stream in streams) + unsequenced,
        waiting,
        age(oldest),
        states.of_stream(waiting, oldest),
    )


def _partitions(streams: Sequence[StreamStatus]) -> Table:
    return Table(
        ("partition", "head", "sent", "floor", "retained", "waiting", "oldest unsent", "state"),
        [
            (
                each.partition,
                each.head,
                each.sent,
                each.floor,
                each.retained,
                each.backlog,
                age(each.oldest_unsent),
                states.of_stream(each.backlog, each.oldest_unsent),
            )
            for each in streams
        ],
    )


def _cursors(subscription: SubscriptionStatus) -> Table:
    return Table(
        ("source", "audience", "partition", "cursor", "head", "lag", "parked", "dead", "state"),
        [
            (
                each.source,
                "all" if each.audience == ALL else each.audience,
                each.partition,
                each.position,
                each.head,
                each.lag,
                each.parked,
                each.dead,
                _state(each, subscription),
            )
            for each in (*subscription.cursors, *subscription.not_begun)
        ],
    )


def _state(cursor: CursorStatus, subscription: SubscriptionStatus) -> Shown:
    return states.of_cursor(cursor, declared=subscription.declared)
