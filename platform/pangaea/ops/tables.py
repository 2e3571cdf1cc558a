"""Statuses as tables for unfold: a row of totals, which opens to one row per partition."""

from datetime import datetime
from typing import Any

from django.template.loader import render_to_string
from django.utils.safestring import SafeString
from django.utils.timesince import timesince

from pangaea.health.stream_status import CursorStatus, ModuleStatus, StreamStatus, SubscriptionStatus
from pangaea.inbox.models import Cursor
from pangaea.messages import ALL

Table = dict[str, Any]


def of_streams(status: ModuleStatus) -> Table:
    """One row per audience, which opens to its partitions."""
    audiences = sorted({stream.audience for stream in status.streams} | status.unsequenced.keys())
    return {
        "headers": ["Audience", "Messages", "Retained", "Sent", "Backlog", "Unsequenced", "State"],
        "collapsible": True,
        "rows": [
            _audience(
                audience,
                [stream for stream in status.streams if stream.audience == audience],
                unsequenced=status.unsequenced.get(audience, 0),
            )
            for audience in audiences
        ],
    }


def of_subscriptions(status: ModuleStatus) -> Table:
    """One row per subscription, which opens to its cursors."""
    return {
        "headers": ["Subscription", "Taken", "Lag", "Parked", "Dead", "State"],
        "collapsible": True,
        "rows": [_subscription(subscription) for subscription in status.subscriptions],
    }


def of_subscribers(status: ModuleStatus) -> Table:
    """One row per subscription that reports to the module."""
    return {
        "headers": ["Subscription", "Lag", "Last report"],
        "rows": [[each.name, each.lag, _since(each.reported_at)] for each in status.subscribers],
    }


def of_queues(status: ModuleStatus) -> Table:
    """One row per queue of the module."""
    return {
        "headers": ["Queue", "Batches", "Consumers"],
        "rows": [
            [
                queue.name,
                queue.batches if queue.exists else "missing",
                "not known" if queue.consumers is None else queue.consumers,
            ]
            for queue in status.queues
        ],
    }


def of_resumptions(status: ModuleStatus) -> Table:
    """One row per decision of an operator about a stream on which a subscription had stopped."""
    return {
        "headers": [
            "Subscription",
            "Stream",
            "Decision",
            "From",
            "To",
            "Skipped",
            "Repeated",
            "Discarded",
            "By",
            "When",
            "Reason",
        ],
        "rows": [
            [
                each.subscription,
                f"{each.source}.{each.audience}.{each.partition}",
                each.how,
                each.from_position,
                "" if each.to_position is None else each.to_position,
                each.skipped,
                each.repeated,
                each.discarded,
                each.decided_by,
                each.decided_at,
                each.reason,
            ]
            for each in status.resumptions
        ],
    }


def _since(moment: datetime | None) -> str:
    return f"{timesince(moment)} ago" if moment else ""


def _audience(audience: str, streams: list[StreamStatus], *, unsequenced: int) -> Table:
    backlog = sum(stream.backlog for stream in streams)
    waiting = backlog + unsequenced
    return {
        "cols": [
            "all" if audience == ALL else audience,
            sum(stream.head for stream in streams) + unsequenced,
            sum(stream.retained for stream in streams) + unsequenced,
            sum(stream.sent for stream in streams),
            backlog,
            unsequenced,
            _label(f"{waiting} waiting", "warning") if waiting else _label("all sent", "success"),
        ],
        "table": {
            "headers": ["Partition", "Head", "Sent", "Backlog", "Floor", "Oldest unsent"],
            "collapsible": True,
            "rows": [
                [stream.partition, stream.head, stream.sent, stream.backlog, stream.floor, _since(stream.oldest_unsent)]
                for stream in streams
            ],
        },
    }


def _subscription(subscription: SubscriptionStatus) -> Table:
    return {
        "cols": [
            subscription.name,
            sum(cursor.position for cursor in subscription.cursors),
            subscription.lag,
            subscription.parked,
            subscription.dead,
            _states(subscription),
        ],
        "table": {
            "headers": ["Source", "Audience", "Partition", "Position", "Known head", "Lag", "Parked", "Dead", "State"],
            "collapsible": True,
            "rows": [
                [
                    cursor.source,
                    "all" if cursor.audience == ALL else cursor.audience,
                    cursor.partition,
                    cursor.position,
                    cursor.head,
                    cursor.lag,
                    cursor.parked,
                    cursor.dead,
                    _cursor_state(cursor),
                ]
                for cursor in subscription.cursors
            ],
        },
    }


def _states(subscription: SubscriptionStatus) -> SafeString:
    if not subscription.cursors:
        return _label("nothing received yet", "")
    state = subscription.states[0]
    if state == Cursor.State.ACTIVE and subscription.parked:
        return _label(f"{subscription.parked} parked", "danger")
    if state == Cursor.State.ACTIVE and any(cursor.awaits_snapshot for cursor in subscription.cursors):
        return _label("awaits a snapshot", "info")
    if state == Cursor.State.ACTIVE and subscription.lag:
        return _label(f"{subscription.lag} behind", "warning")
    return _state(state)


def _cursor_state(cursor: CursorStatus) -> SafeString:
    if cursor.awaits_snapshot and cursor.state == Cursor.State.ACTIVE:
        return _label("awaits a snapshot", "info")
    if cursor.asked and cursor.state == Cursor.State.ACTIVE:
        return _label("catch-up requested", "info")
    return _state(cursor.state)


def _state(state: Cursor.State) -> SafeString:
    return _label(state.label, "success" if state == Cursor.State.ACTIVE else "danger")


def _label(text: str, variant: str) -> SafeString:
    return render_to_string("unfold/helpers/label.html", {"text": text, "variant": variant})
