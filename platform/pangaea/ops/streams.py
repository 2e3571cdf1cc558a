"""What a module's tables say about its streams, its subscriptions and who listens to it, read with five queries.

They are no snapshot: the relay and the workers go on while the page reads. Each row is consistent in itself.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby

from django.db import DatabaseError
from django.db.models import Count, Min, OuterRef, Q, Subquery
from django.utils import timezone

from pangaea.inbox.models import Cursor, DeadLetter
from pangaea.modules import ModuleConfig
from pangaea.outbox.models import OutboxMessage, Stream, Subscriber


@dataclass(frozen=True, slots=True)
class StreamStatus:
    """A stream of the module: positions 1 to `head`, of which `sent` have gone out and those to `floor` are gone."""

    audience: str
    partition: int
    head: int
    sent: int
    floor: int
    oldest_unsent: datetime | None
    """When the first message that has a position and has not been sent was said."""

    @property
    def kept(self) -> int:
        """Messages that can be replayed."""
        return self.head - self.floor

    @property
    def backlog(self) -> int:
        """Messages that have a position and have not been sent."""
        return self.head - self.sent


@dataclass(frozen=True, slots=True)
class CursorStatus:
    """How far a subscription of the module has read one stream."""

    source: str
    audience: str
    partition: int
    position: int
    head: int
    parked: int
    """Messages set aside, of which `dead` are tried no more."""
    dead: int
    state: Cursor.State
    asked: bool
    """Whether a request for missed messages is outstanding."""

    @property
    def lag(self) -> int:
        """Messages that the subscription has heard of and not taken."""
        return max(self.head - self.position, 0)


@dataclass(frozen=True, slots=True)
class SubscriptionStatus:
    """A subscription with its cursors, one a stream, ordered."""

    name: str
    cursors: list[CursorStatus]

    @property
    def lag(self) -> int:
        return sum(cursor.lag for cursor in self.cursors)

    @property
    def parked(self) -> int:
        return sum(cursor.parked for cursor in self.cursors)

    @property
    def dead(self) -> int:
        return sum(cursor.dead for cursor in self.cursors)

    @property
    def states(self) -> list[Cursor.State]:
        """The states of its cursors, each once, the healthy one last."""
        return sorted({cursor.state for cursor in self.cursors}, key=lambda state: state == Cursor.State.ACTIVE)


@dataclass(frozen=True, slots=True)
class SubscriberStatus:
    """A subscription, of this module or another one, that reported how far it has come in the module's streams."""

    name: str
    lag: int
    reported_at: datetime
    """The oldest of its reports: one for each stream."""


@dataclass(frozen=True, slots=True)
class ModuleStatus:
    """The streams and subscriptions of a module. `unreadable` is the reason why nothing is known."""

    label: str
    title: str
    streams: list[StreamStatus] = field(default_factory=list)
    unsequenced: dict[str, int] = field(default_factory=dict)
    """Messages that the relay has not given a position yet, by audience; their partition is not known before."""
    oldest_unsequenced: datetime | None = None
    subscriptions: list[SubscriptionStatus] = field(default_factory=list)
    subscribers: list[SubscriberStatus] = field(default_factory=list)
    unreadable: str = ""

    @property
    def backlog(self) -> int:
        return sum(stream.backlog for stream in self.streams) + sum(self.unsequenced.values())

    @property
    def oldest_unsent(self) -> datetime | None:
        """When the first message that has not been sent was said."""
        said = [self.oldest_unsequenced, *(stream.oldest_unsent for stream in self.streams)]
        return min((each for each in said if each is not None), default=None)

    @property
    def lag(self) -> int:
        return sum(subscription.lag for subscription in self.subscriptions)

    @property
    def parked(self) -> int:
        return sum(subscription.parked for subscription in self.subscriptions)


def read(module: ModuleConfig) -> ModuleStatus:
    """What the module's tables say. A database that does not answer is a status too, so that the others still show."""
    title = str(module.verbose_name)
    try:
        streams = _streams(module.label)
        waiting = _unsequenced(module.label)
        return ModuleStatus(
            label=module.label,
            title=title,
            streams=streams,
            unsequenced={audience: count for audience, count, _ in waiting},
            oldest_unsequenced=min((oldest for _, _, oldest in waiting), default=None),
            subscriptions=_subscriptions(module),
            subscribers=_subscribers(module.label, streams),
        )
    except DatabaseError as error:
        return ModuleStatus(label=module.label, title=title, unreadable=str(error).strip())


def problems(status: ModuleStatus, *, max_lag: int, max_age: timedelta) -> list[str]:
    """What an operator has to look after: what cannot be read, has stopped, or is further behind than the limits."""
    if status.unreadable:
        return [f"{status.label} cannot be read: {status.unreadable}"]
    found = []
    if status.oldest_unsent is not None and (age := timezone.now() - status.oldest_unsent) > max_age:
        found.append(
            f"{status.label} has not sent what it said {age.total_seconds():.0f} s ago ({status.backlog} wait)"
        )
    for subscription in status.subscriptions:
        stopped = [state for state in subscription.states if state != Cursor.State.ACTIVE]
        found += [f"{subscription.name} is {state.label}" for state in stopped]
        if subscription.lag > max_lag:
            found.append(f"{subscription.name} is {subscription.lag} messages behind")
    return found


def _streams(alias: str) -> list[StreamStatus]:
    first_unsent = OutboxMessage.objects.using(alias).filter(
        audience=OuterRef("audience"), partition=OuterRef("partition"), position=OuterRef("sent") + 1
    )
    streams = Stream.objects.using(alias).annotate(oldest_unsent=Subquery(first_unsent.values("created_at")[:1]))
    return [
        StreamStatus(
            audience=stream.audience,
            partition=stream.partition,
            head=stream.head,
            sent=stream.sent,
            floor=stream.floor,
            oldest_unsent=stream.oldest_unsent,
        )
        for stream in streams.order_by("audience", "partition")
    ]


def _unsequenced(alias: str) -> list[tuple[str, int, datetime]]:
    """Audience, how many, and when the first of them was said."""
    rows = OutboxMessage.objects.using(alias).filter(position__isnull=True)
    return list(rows.values_list("audience").annotate(Count("id"), Min("created_at")).order_by("audience"))


def _subscribers(alias: str, streams: Iterable[StreamStatus]) -> list[SubscriberStatus]:
    heads = {(stream.audience, stream.partition): stream.head for stream in streams}
    rows = Subscriber.objects.using(alias).order_by("subscription", "audience", "partition")
    return [
        SubscriberStatus(
            name=name,
            lag=sum(max(heads.get((row.audience, row.partition), 0) - row.position, 0) for row in reports),
            reported_at=min(row.reported_at for row in reports),
        )
        for name, group in groupby(rows, key=lambda row: row.subscription)
        if (reports := list(group))
    ]


def _subscriptions(module: ModuleConfig) -> list[SubscriptionStatus]:
    place = ("subscription", "source", "audience", "partition")
    counts = {"aside": Count("id"), "dead": Count("id", filter=Q(state=DeadLetter.State.DEAD))}
    letters = DeadLetter.objects.using(module.label).values_list(*place).annotate(**counts).order_by()
    parked = {tuple(row[:4]): (row[4], row[5]) for row in letters}
    cursors = Cursor.objects.using(module.label).order_by(*place)
    found: dict[str, list[CursorStatus]] = {name: [] for name in _declared(module)}
    for cursor in cursors:
        found.setdefault(cursor.subscription, []).append(_status(cursor, parked=parked))
    return [SubscriptionStatus(name=name, cursors=found[name]) for name in sorted(found)]


def _declared(module: ModuleConfig) -> Iterable[str]:
    """A subscription that has heard nothing yet has no cursor, and still belongs in the picture."""
    return [subscription.name for subscription in module.load_subscriptions()]


def _status(cursor: Cursor, *, parked: Mapping[tuple[object, ...], tuple[int, int]]) -> CursorStatus:
    place = (cursor.subscription, cursor.source, cursor.audience, cursor.partition)
    aside, dead = parked.get(place, (0, 0))
    return CursorStatus(
        source=cursor.source,
        audience=cursor.audience,
        partition=cursor.partition,
        position=cursor.position,
        head=cursor.head,
        parked=aside,
        dead=dead,
        state=Cursor.State(cursor.state),
        asked=cursor.requested_at is not None,
    )
