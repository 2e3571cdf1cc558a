"""An operator resumes a stopped subscription, or deletes the cursors and parked messages of an undeclared one.

A projection is rebuilt instead, which repeats no effect. A reaction is resumed at the head of the producer's history or
at its start, as the operator decides. The numbers of messages that this skips and repeats are shown before and recorded
after.
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

import structlog
from django.db import DatabaseError, connections, transaction
from django.db.models import QuerySet

from pangaea import modules
from pangaea.errors import NotFound, PangaeaError
from pangaea.inbox.dead_letters.discarding import checked_reason, discard_stream
from pangaea.inbox.models import Attempt, Cursor, DeadLetter, Resumption
from pangaea.inbox.subscriptions import Subscription
from pangaea.wire import CatchUp

log = structlog.get_logger()

How = Literal["head", "start"]


class Refused(PangaeaError):
    """The subscription is unchanged. The message names the reason and the remedy."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """The effect of resuming on one stream: the cursor moves from one position to another.

    At most `skipped` messages of the producer's history will never be applied; the exact number is unknown, because the
    position from which history was rewritten is not known here. `repeated` messages are received again, whether or not
    they were applied before. `parked` messages are discarded.
    """

    stream: str
    state: str
    from_position: int
    to_position: int
    skipped: int
    repeated: int
    parked: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What resuming a subscription would do."""

    subscription: str
    how: How
    steps: list[Step]

    @property
    def skipped(self) -> int:
        """Messages that will never be applied, at most."""
        return sum(step.skipped for step in self.steps)

    @property
    def repeated(self) -> int:
        """Messages that are received again, whether or not they were applied before."""
        return sum(step.repeated for step in self.steps)

    @property
    def parked(self) -> int:
        """Parked messages that are discarded."""
        return sum(step.parked for step in self.steps)

    def __str__(self) -> str:
        if self.how == "head":
            what = f"up to {_counted(self.skipped, 'message')} that it has not taken will never be applied"
        else:
            what = f"{_counted(self.repeated, 'message')} are received again, and acted on even if they were before"
        parked = f" {_counted(self.parked, 'parked message')} will be discarded." if self.parked else ""
        streams = _counted(len(self.steps), "stream")
        return f"{self.subscription} continues at the {self.how} of {streams}: {what}.{parked}"


def named(name: str) -> Subscription:
    """The subscription with this name in this process. Raises NotFound, with the names that exist."""
    declared: dict[str, Subscription] = {
        each.name: each for module in modules.installed() for each in module.load_subscriptions()
    }
    if name not in declared:
        raise NotFound("unknown_subscription", f"There is no {name!r}. There are: {', '.join(sorted(declared))}.")
    return declared[name]


def plan(subscription: Subscription, how: How) -> Plan:
    """What `resume` would do. Raises Refused if the subscription has not stopped, or if a rebuild is the remedy."""
    steps = [_step(cursor, how) for cursor in _stopped(subscription)]
    if subscription.is_rebuilt:
        raise Refused(f"{subscription.name} is a projection: {subscription.remedy}, which repeats no effect.")
    if not steps:
        raise Refused(f"{subscription.name} has not stopped on any stream: there is nothing to resume.")
    return Plan(subscription=subscription.name, how=how, steps=steps)


def resume(subscription: Subscription, how: How, *, reason: str, by: str) -> Plan:
    """Resume a subscription on every stream on which it has stopped. Returns what was done.

    One transaction moves the cursors, discards the parked messages, and records one Resumption per stream. The head of
    a stream is its last position known here; the producer announces it at least once per ANNOUNCE_AT_MOST. Raises
    Refused as `plan` does, and Invalid as `checked_reason` does.
    """
    reason = checked_reason(reason)
    with transaction.atomic(using=subscription.module):
        decided = plan(subscription, how)
        for cursor in _stopped(subscription).select_for_update():
            _resume(cursor, how, reason=reason, by=by)
    log.warning("subscription resumed", subscription=subscription.name, at=how, reason=reason, by=by)
    return decided


def requests(subscription: Subscription) -> list[CatchUp]:
    """Requests for the messages after its cursors, so that they need not wait for an announcement to show the gap."""
    module = subscription.module
    with transaction.atomic(using=module):
        active = Cursor.objects.using(module).filter(subscription=subscription.name, state=Cursor.State.ACTIVE)
        found = []
        for cursor in active.select_for_update().order_by("id"):
            if request := cursor.request():
                cursor.save()
                found.append(request)
    return found


def undeclared(module: str) -> list[str]:
    """Names of undeclared (renamed or removed) subscriptions that have cursors in the module's schema."""
    declared = [each.name for each in modules.named(module).load_subscriptions()]
    cursors = Cursor.objects.using(module).exclude(subscription__in=declared)
    return sorted(cursors.values_list("subscription", flat=True).distinct())


def name_undeclared(labels: Iterable[str]) -> None:
    """Log the undeclared subscriptions of these modules that have cursors. Leaves no connection open."""
    for label in labels:
        # Startup does not wait for a database: the code that needs it does.
        with suppress(DatabaseError):
            for name in undeclared(label):
                remedy = f"declare it again, or `manage.py streams forget {name} --reason=WHY`"
                log.warning("undeclared subscription found", subscription=name, remedy=remedy)
        if not connections[label].in_atomic_block:
            connections[label].close()


def forget(module: str, name: str, *, reason: str, by: str) -> int:
    """Delete the cursors of an undeclared subscription, and discard its parked messages. Returns how many it discarded.

    Raises Refused if the subscription is declared or has no cursors, and Invalid as `checked_reason` does.
    """
    reason = checked_reason(reason)
    if name not in undeclared(module):
        raise Refused(f"{module} has no undeclared subscription {name!r}: {', '.join(undeclared(module)) or 'none'}.")
    discarded = 0
    with transaction.atomic(using=module):
        for cursor in Cursor.objects.using(module).select_for_update().filter(subscription=name).order_by("id"):
            letters = discard_stream(cursor, reason=reason, by=by)
            discarded += letters
            waiting = max(cursor.head - cursor.position, 0)
            _record(cursor, "forget", to=None, skipped=waiting, repeated=0, discarded=letters, reason=reason, by=by)
            cursor.delete()
        Attempt.objects.using(module).filter(subscription=name).delete()
    log.warning("subscription forgotten", subscription=name, reason=reason, by=by)
    return discarded


def _stopped(subscription: Subscription) -> "QuerySet[Cursor]":
    cursors = Cursor.objects.using(subscription.module).filter(subscription=subscription.name)
    return cursors.exclude(state=Cursor.State.ACTIVE).order_by("id")


def _step(cursor: Cursor, how: How) -> Step:
    to = cursor.head if how == "head" else cursor.floor
    return Step(
        stream=cursor.stream_name,
        state=cursor.state,
        from_position=cursor.position,
        to_position=to,
        skipped=_skipped(cursor, to),
        repeated=cursor.head - to,
        parked=DeadLetter.objects.using(str(cursor._state.db)).filter(**cursor.stream).count(),
    )


def _skipped(cursor: Cursor, to: int) -> int:
    before = cursor.position if cursor.state == Cursor.State.BELOW_FLOOR else 0
    return max(to - before, 0)


def _resume(cursor: Cursor, how: How, *, reason: str, by: str) -> None:
    step = _step(cursor, how)
    # In the producer's present history, other messages have the positions of the messages that are parked here.
    discarded = discard_stream(cursor, reason=reason, by=by)
    to, skipped, repeated = step.to_position, step.skipped, step.repeated
    _record(cursor, how, to=to, skipped=skipped, repeated=repeated, discarded=discarded, reason=reason, by=by)
    # The id at the head is not known here: only the answer to a request from the head is applied (`Cursor.may_join`).
    cursor.resume(to, cursor.floor_id if how == "start" else None)
    cursor.save()


def _record(cursor: Cursor, how: str, *, to: int | None, reason: str, by: str, **counts: int) -> None:
    Resumption.objects.using(str(cursor._state.db)).create(
        **cursor.stream,
        how=how,
        state=cursor.state,
        from_position=cursor.position,
        to_position=to,
        decided_by=by,
        reason=reason,
        **counts,
    )


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"
