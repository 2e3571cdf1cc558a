"""The state of a module's streams, its subscriptions and its subscribers, read with eight queries.

The queries do not share a database snapshot, since relay and workers run meanwhile. Each row is consistent in itself.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import groupby
from typing import Any

from django.db import DatabaseError, connections
from django.db.models import Count, Min, OuterRef, Q, QuerySet, Subquery
from kombu.exceptions import OperationalError

from pangaea.broker import celery_app, queue_status
from pangaea.broker.queue_status import QueueStatus
from pangaea.databases import engines, sequences, transactions
from pangaea.databases.engines.base import OldTransaction
from pangaea.databases.errors import reason_of
from pangaea.inbox import resuming
from pangaea.inbox.models import Cursor, DeadLetter, Resumption
from pangaea.inbox.subscriptions import Subscription
from pangaea.modules import ModuleConfig
from pangaea.outbox.models import OutboxMessage, Stream, Subscriber

RESUMPTIONS = 20
"""The number of decisions about stopped subscriptions shown per module."""


@dataclass(frozen=True, slots=True)
class StreamStatus:
    """A stream of the module: positions 1 to `head`, which are sent up to `sent` and deleted up to `floor`."""

    audience: str
    partition: int
    head: int
    sent: int
    floor: int
    oldest_unsent: datetime | None
    """When the first message that has a position and is unsent was published."""
    oldest_sent: datetime | None
    """When the first message that was sent and is still retained was published."""

    @property
    def retained(self) -> int:
        """Messages that can be replayed."""
        return self.head - self.floor

    @property
    def backlog(self) -> int:
        """Messages that have a position and are unsent."""
        return self.head - self.sent


@dataclass(frozen=True, slots=True)
class CursorStatus:
    """A cursor of one of the module's subscriptions."""

    source: str
    audience: str
    partition: int
    position: int
    head: int
    parked: int
    """Parked messages, of which `dead` are no longer retried."""
    dead: int
    oldest_retried: datetime | None
    """When the oldest parked message that is still retried was parked."""
    waiting_since: datetime | None
    """The time since which messages or a snapshot wait and none was taken; None while none waits."""
    state: Cursor.State
    awaits_snapshot: bool
    """Whether it began at the floor, and the snapshot of deleted history has not arrived."""
    asked: bool
    """Whether a request for missed messages is outstanding."""
    updated_at: datetime

    @property
    def lag(self) -> int:
        """Messages up to the known head that the subscription has not taken."""
        return max(self.head - self.position, 0)


@dataclass(frozen=True, slots=True)
class SubscriptionStatus:
    """A subscription with its cursors, one per stream, in order."""

    name: str
    cursors: list[CursorStatus]
    declared: bool = True
    """Whether a module of this process declares it."""
    remedy: str = ""
    """What an operator does once it has stopped."""
    is_rebuilt: bool = False
    """Whether the remedy is a rebuild."""
    not_begun: list[CursorStatus] = field(default_factory=list)
    """Streams that hold messages for it, but on which it has no cursor, because it has taken none of them."""

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
    def may_resume(self) -> bool:
        """Whether an operator may resume it: it has stopped, it is declared, and its remedy is not a rebuild."""
        stopped = any(each.state != Cursor.State.ACTIVE for each in self.cursors)
        return stopped and self.declared and not self.is_rebuilt

    @property
    def oldest_retried(self) -> datetime | None:
        """When its oldest parked message that is still retried was parked."""
        return min((each.oldest_retried for each in self.cursors if each.oldest_retried), default=None)

    @property
    def states(self) -> list[Cursor.State]:
        """The distinct states of its cursors, the active one last."""
        return sorted({cursor.state for cursor in self.cursors}, key=lambda state: state == Cursor.State.ACTIVE)


@dataclass(frozen=True, slots=True)
class SubscriberStatus:
    """A subscription, of this module or another one, that reports its positions in the module's streams."""

    name: str
    lag: int
    reported_at: datetime
    """The oldest of the report times on its streams."""


@dataclass(frozen=True, slots=True)
class ModuleStatus:
    """The streams and subscriptions of a module."""

    label: str
    title: str
    streams: list[StreamStatus] = field(default_factory=list)
    unsequenced: dict[str, int] = field(default_factory=dict)
    """Messages without a position, by audience. Their partition is unknown until they are sequenced."""
    oldest_unsequenced: datetime | None = None
    subscriptions: list[SubscriptionStatus] = field(default_factory=list)
    subscribers: list[SubscriberStatus] = field(default_factory=list)
    resumptions: list[Resumption] = field(default_factory=list)
    """The last decisions of operators about stopped subscriptions, the latest first."""
    unreadable: str = ""
    """The error of the database, if nothing could be read."""
    is_read_only: bool = False
    """Whether its database accepts no writes."""
    queues: list[QueueStatus] = field(default_factory=list)
    broker_failure: str = ""
    """The error of the broker, if the queues could not be read."""
    sessions_failure: str = ""
    """The error of the database server, if other sessions' transactions could not be read."""
    late_sequences: list[str] = field(default_factory=list)
    """Sequences that are behind their tables, each as a sentence."""
    old_transactions: list[OldTransaction] = field(default_factory=list)
    """Transactions older than CHECK_TRANSACTION_AT_MOST in its database; of a shared one, in its first module only."""

    @property
    def backlog(self) -> int:
        return sum(stream.backlog for stream in self.streams) + sum(self.unsequenced.values())

    @property
    def oldest_unsent(self) -> datetime | None:
        """When the first unsent message was published."""
        times = [self.oldest_unsequenced, *(stream.oldest_unsent for stream in self.streams)]
        return min((each for each in times if each is not None), default=None)

    @property
    def lag(self) -> int:
        return sum(subscription.lag for subscription in self.subscriptions)

    @property
    def parked(self) -> int:
        return sum(subscription.parked for subscription in self.subscriptions)


def read_all(modules: Sequence[ModuleConfig]) -> list[ModuleStatus]:
    """The status of each module, with its queues and with old transactions.

    If the producer is among the modules, a cursor's head is the producer's, since the subscriber's own may be outdated.
    """
    statuses = [read(module) for module in modules]
    sent = {
        (status.label, stream.audience, stream.partition): stream.sent
        for status in statuses
        for stream in status.streams
    }
    queues, failure = _queues([module.label for module in modules])
    old, sessions_failure = _old_transactions([status.label for status in statuses if not status.unreadable])
    found = []
    for status in statuses:
        subscriptions = [
            replace(
                each,
                cursors=[_up_to_date(cursor, sent) for cursor in each.cursors],
                not_begun=_not_begun(each, statuses),
            )
            for each in status.subscriptions
        ]
        own = [queue for queue in queues if queue.module == status.label]
        found.append(
            replace(
                status,
                subscriptions=subscriptions,
                queues=own,
                broker_failure=failure,
                old_transactions=old.get(status.label, []),
                sessions_failure=sessions_failure,
            )
        )
    return found


def _up_to_date(cursor: CursorStatus, sent: dict[tuple[str, str, int], int]) -> CursorStatus:
    head = sent.get((cursor.source, cursor.audience, cursor.partition), 0)
    if head <= cursor.head:
        return cursor
    since = cursor.waiting_since
    if since is None and head > cursor.position:
        # The subscriber has recorded no waiting message: its handler hangs, or no worker runs.
        following = OutboxMessage.objects.using(cursor.source).filter(
            audience=cursor.audience, partition=cursor.partition, position=cursor.position + 1
        )
        since = max([cursor.updated_at, *following.values_list("created_at", flat=True)])
    return replace(cursor, head=head, waiting_since=since)


def _not_begun(status: SubscriptionStatus, producers: Iterable[ModuleStatus]) -> list[CursorStatus]:
    if not status.declared or (subscription := resuming.named(status.name)).begins == "now":
        return []
    begun = {(cursor.source, cursor.audience, cursor.partition) for cursor in status.cursors}
    return [
        CursorStatus(
            source=producer.label,
            audience=stream.audience,
            partition=stream.partition,
            position=stream.floor,
            head=stream.sent,
            parked=0,
            dead=0,
            oldest_retried=None,
            waiting_since=stream.oldest_sent,
            state=Cursor.State.ACTIVE,
            awaits_snapshot=False,
            asked=False,
            updated_at=stream.oldest_sent,
        )
        for producer in producers
        for stream in producer.streams
        if subscription.reads(producer.label, stream.audience)
        and (producer.label, stream.audience, stream.partition) not in begun
        and stream.oldest_sent is not None
    ]


def _queues(labels: Sequence[str]) -> tuple[list[QueueStatus], str]:
    try:
        return queue_status.read(celery_app.app(), labels), ""
    except OperationalError as error:
        return [], str(error) or type(error).__name__


def _old_transactions(labels: Sequence[str]) -> tuple[dict[str, list[OldTransaction]], str]:
    try:
        return transactions.older_than_allowed(labels), ""
    except DatabaseError as error:
        return {}, str(error).strip()


def read(module: ModuleConfig) -> ModuleStatus:
    """The state of the module's tables. If the database does not answer, the status has the error in `unreadable`."""
    title = str(module.verbose_name)
    try:
        streams = _streams(module.label)
        waiting = _unsequenced(module.label)
        return ModuleStatus(
            label=module.label,
            title=title,
            is_read_only=engines.of(module.label).is_read_only(connections[module.label]),
            streams=streams,
            unsequenced={audience: count for audience, count, _ in waiting},
            oldest_unsequenced=min((oldest for _, _, oldest in waiting), default=None),
            subscriptions=_subscriptions(module),
            subscribers=_subscribers(module.label, streams),
            late_sequences=sequences.late(module.label),
            resumptions=list(Resumption.objects.using(module.label).order_by("-id")[:RESUMPTIONS]),
        )
    except DatabaseError as error:
        return ModuleStatus(label=module.label, title=title, unreadable=reason_of(error))


def _streams(alias: str) -> list[StreamStatus]:
    messages = OutboxMessage.objects.using(alias).filter(audience=OuterRef("audience"), partition=OuterRef("partition"))
    streams = Stream.objects.using(alias).annotate(
        oldest_unsent=_created_at(messages.filter(position=OuterRef("sent") + 1)),
        oldest_sent=_created_at(messages.filter(position=OuterRef("floor") + 1, position__lte=OuterRef("sent"))),
    )
    return [
        StreamStatus(
            audience=stream.audience,
            partition=stream.partition,
            head=stream.head,
            sent=stream.sent,
            floor=stream.floor,
            oldest_unsent=stream.oldest_unsent,
            oldest_sent=stream.oldest_sent,
        )
        for stream in streams.order_by("audience", "partition")
    ]


def _created_at(messages: "QuerySet[OutboxMessage]") -> Subquery:
    return Subquery(messages.values("created_at")[:1])


def _unsequenced(alias: str) -> list[tuple[str, int, datetime]]:
    """Per audience: the number of unsequenced messages, and when the first of them was published."""
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
    key = ("subscription", "source", "audience", "partition")
    states = DeadLetter.State
    counts = {
        "parked": Count("id"),
        "dead": Count("id", filter=Q(state=states.DEAD)),
        "oldest_retried": Min("parked_at", filter=Q(state=states.RETRYING)),
    }
    letters = DeadLetter.objects.using(module.label).values(*key).annotate(**counts).order_by()
    parked = {tuple(row[name] for name in key): row for row in letters}
    declared = {subscription.name: subscription for subscription in module.load_subscriptions()}
    # A subscription that has received nothing yet has no cursor, but is also shown.
    found: dict[str, list[CursorStatus]] = {name: [] for name in declared}
    for cursor in Cursor.objects.using(module.label).order_by(*key):
        letters_of_cursor = parked.get(tuple(getattr(cursor, name) for name in key), {})
        found.setdefault(cursor.subscription, []).append(_status(cursor, letters_of_cursor))
    return [_subscription(name, found[name], declared.get(name)) for name in sorted(found)]


def _subscription(name: str, cursors: list[CursorStatus], declared: Subscription | None) -> SubscriptionStatus:
    if declared is None:
        return SubscriptionStatus(name, cursors, declared=False)
    return SubscriptionStatus(name, cursors, remedy=declared.remedy, is_rebuilt=declared.is_rebuilt)


def _status(cursor: Cursor, parked: dict[str, Any]) -> CursorStatus:
    return CursorStatus(
        source=cursor.source,
        audience=cursor.audience,
        partition=cursor.partition,
        position=cursor.position,
        head=cursor.head,
        parked=parked.get("parked", 0),
        dead=parked.get("dead", 0),
        oldest_retried=parked.get("oldest_retried"),
        waiting_since=cursor.waiting_since,
        state=Cursor.State(cursor.state),
        awaits_snapshot=cursor.began_at is not None,
        asked=cursor.requested_at is not None,
        updated_at=cursor.updated_at,
    )
