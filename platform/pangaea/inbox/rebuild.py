"""Replaying a projection: built anew from the beginning of its streams while the old one serves, then put in its place.

The new one is a shadow (see `shadows`). On the bus it is a subscription of its own, `<projection>~shadow`, with cursors
that begin at 0; where history was deleted they begin at the floor, with a snapshot of what the producer captures.
Producers answer its requests like any other's, and the module's worker applies what comes, to the shadow first and then
to the live tables. So once it has caught up, a shadow is never behind.

Where both cursors of every stream are equal, under the locks of both, nothing has been read by one that the other does
not know. There one transaction replaces rows, parked messages and cursors, and no reader sees anything go back in time.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TypeVar

import psycopg
import structlog
from django.conf import settings
from django.db import InterfaceError, OperationalError, connections, transaction
from django.db.models import Max, Sum

from pangaea.errors import PangaeaError
from pangaea.inbox import catch_up, comparison, rows, shadows
from pangaea.inbox.comparison import Comparison
from pangaea.inbox.models import Attempt, Cursor
from pangaea.inbox.rows import Count
from pangaea.inbox.shadows import Shadow
from pangaea.inbox.subscriptions import Projection, Subscription
from pangaea.messages import EVERYBODY
from pangaea.wire import PARTITIONS, CatchUp

log = structlog.get_logger()

T = TypeVar("T")
Stream = tuple[str, str, int]
"""Source, audience and partition."""
Send = Callable[[Sequence[CatchUp]], None]

MEETINGS, PAUSE = 50, 0.02
"""How often, and how many seconds apart, the cursors are compared while the shadow's are held."""

LOST = (OperationalError, InterfaceError, psycopg.OperationalError)
"""What a statement raises when the database was restarted or does not answer."""


class Refused(PangaeaError):
    """The projection was not replayed, and is as it was. The message says why, and what to do."""


class Differs(PangaeaError):
    """The shadow has other numbers of rows, and nobody has accepted that. Nothing was replaced."""

    def __init__(self, counts: Sequence[Count]) -> None:
        super().__init__("The numbers of rows differ.")
        self.counts = counts


@dataclass(frozen=True, slots=True)
class Progress:
    """Messages applied to the shadow, of those that are known. `near`: so few are missing that it may be level soon."""

    applied: int
    known: int
    near: bool


def replayable(subscription: Subscription) -> Projection:
    """The subscription as a projection. Raises Refused for a Reaction, Misuse for one that names no models."""
    if not isinstance(subscription, Projection):
        text = f"{subscription.name} is a Reaction: what it did when it heard its messages, it would do again."
        raise Refused(text)
    rows.tables_of(subscription)
    return subscription


@contextmanager
def replaying(projection: Projection, send: Send) -> Iterator["Replay"]:
    """Hold an empty shadow of the projection, which workers begin to fill; it goes when the context ends.

    What a killed process left behind is cleared away first. Raises Refused while another process holds one.
    """
    module = projection.module
    with ExitStack() as turn:
        if not turn.enter_context(shadows.alone(module)):
            text = f"A projection of {module} is being rebuilt or reconciled at this moment; one at a time in a module."
            raise Refused(text)
        try:
            cursors = _cursors_at_0(projection.shadow, _streams(projection))
            shadow = shadows.create(projection, rows.creatable(rows.tables_of(projection)), cursors)
            yield Replay(projection, shadow, send, turn)
        finally:
            _clear(module)


def _clear(module: str) -> None:
    try:
        shadows.clear(module)
    except LOST as error:
        log.warning("shadow not removed: the next rebuild removes it", module=module, error=str(error))


class Replay:
    """One replay. Call `advance`, and when it comes near `replace` or `compare`, until that gives a result.

    Any of them may raise one of LOST: nothing of it counts then, or all of it does. Call `resume` and go on.
    """

    def __init__(self, projection: Projection, shadow: Shadow, send: Send, turn: ExitStack) -> None:
        self._projection, self._shadow, self._send, self._turn = projection, shadow, send, turn
        self._moved: dict[Stream, tuple[int, float]] = {}
        self._ask(_streams(projection))

    def advance(self) -> Progress:
        """How far the shadow has come; asks again for what does not arrive.

        Raises Refused when the shadow cannot be built: history is gone, or was rewritten meanwhile.
        """
        with self._shadow.entered():
            fresh = self._cursors(self._projection.shadow)
        serving = self._cursors(self._projection)
        _check(fresh)
        late = [stream for stream, cursor in fresh.items() if not _level(serving.get(stream), cursor)]
        self._ask(stream for stream in late if self._stands_still(stream, fresh[stream].position))
        applied = sum(cursor.position for cursor in fresh.values())
        known = sum(max(cursor.head, _goal(serving.get(stream))) for stream, cursor in fresh.items())
        # Under traffic something is always on its way: the cursors are level only while they are held.
        near = not late or known - applied <= settings.PANGAEA.relay_batch
        return Progress(applied, known, near=near)

    def resume(self) -> bool:
        """Connect again after the database was lost, and take the turn; False while a session has it.

        That may be this process's former session, until the server notices its end. Raises one of LOST while the
        database does not answer, Refused when the shadow is not there any more.
        """
        module = self._projection.module
        shadows.release(module)
        connections[module].close()
        self._turn.close()
        if not self._turn.enter_context(shadows.alone(module)):
            return False
        if not shadows.exists(self._shadow):
            raise Refused("What was rebuilt so far is lost with the database's restart. Run the command again.")
        return True

    def activity(self) -> object:
        """Something that changes whenever a worker of the module has done anything."""
        module = self._projection.module
        taken = Cursor.objects.using(module).aggregate(taken=Sum("position"), at=Max("updated_at"))
        return taken, frozenset(Attempt.objects.using(module).values_list("token", flat=True))

    def replace(self, *, accept: Callable[[Sequence[Count]], bool]) -> list[Count] | None:
        """Put the shadow in the projection's place; the counts of both, or None when the moment was not right.

        Raises Differs when the counts differ and `accept`, which must not wait, says no.
        """
        return self.at_equal_cursors(lambda meeting: self._replace(meeting, accept))

    def compare(self, *, limit: int) -> Comparison | None:
        """What differs, or None when the moment was not right. Nothing is changed."""
        return self.at_equal_cursors(lambda meeting: self._compare(meeting, limit))

    def at_equal_cursors(self, work: Callable[["Meeting"], T]) -> T | None:
        """Do it in a transaction on what serves, while neither moves; None when they were not equal."""
        module = self._projection.module
        # A worker that comes to the shadow waits from here on. What it brought there, it still brings to what serves.
        with self._shadow.entered(), transaction.atomic(using=module):
            fresh = self._cursors(self._projection.shadow, lock=True)
            _check(fresh)
            with self._shadow.beside() as prefix:
                for _ in range(MEETINGS):
                    with transaction.atomic(using=module):
                        serving = self._serving()
                        late = [stream for stream, cursor in fresh.items() if not _level(serving[stream], cursor)]
                        if not late:
                            return work(Meeting(prefix, fresh, serving))
                        transaction.set_rollback(True, using=module)
                    if any(not _may_follow(serving[stream], fresh[stream]) for stream in late):
                        return None
                    time.sleep(PAUSE)
        return None

    def _replace(self, meeting: "Meeting", accept: Callable[[Sequence[Count]], bool]) -> list[Count]:
        counts = rows.count(self._projection, meeting.prefix)
        if any(each.before != each.after for each in counts) and not accept(counts):
            raise Differs(counts)
        rows.replace(self._projection, meeting.prefix)
        for stream, cursor in meeting.serving.items():
            fresh = meeting.fresh[stream]
            cursor.advance(fresh.position, fresh.message_id)
            cursor.head = fresh.head
            cursor.state, cursor.began_at = Cursor.State.ACTIVE, None
            catch_up.answered(cursor)
            cursor.save()
        return counts

    def _compare(self, meeting: "Meeting", limit: int) -> Comparison:
        try:
            return comparison.compare(self._projection, meeting.prefix, limit=limit)
        finally:
            transaction.set_rollback(True, using=self._projection.module)

    def _cursors(self, subscription: Subscription, *, lock: bool = False) -> dict[Stream, Cursor]:
        cursors = Cursor.objects.using(subscription.module).filter(subscription=subscription.name).order_by("id")
        if lock:
            cursors = cursors.select_for_update()
        found = {(cursor.source, cursor.audience, cursor.partition): cursor for cursor in cursors}
        return {stream: found[stream] for stream in _streams(self._projection) if stream in found}

    def _serving(self) -> dict[Stream, Cursor]:
        """The cursors of what serves, locked. One that is not there could come into being and move: it is made."""
        missing = set(_streams(self._projection)) - self._cursors(self._projection).keys()
        Cursor.objects.using(self._projection.module).bulk_create(
            _cursors_at_0(self._projection, sorted(missing)), ignore_conflicts=True
        )
        return self._cursors(self._projection, lock=True)

    def _stands_still(self, stream: Stream, position: int) -> bool:
        before, since = self._moved.get(stream, (None, 0.0))
        if position != before:
            self._moved[stream] = position, time.monotonic()
            return False
        return time.monotonic() - since > settings.PANGAEA.catch_up_renewal.total_seconds()

    def _ask(self, streams: Iterable[Stream]) -> None:
        module, requests = self._projection.module, []
        for source, audience, partition in streams:
            with self._shadow.entered(), transaction.atomic(using=module):
                cursor = (
                    Cursor.objects.using(module)
                    .select_for_update()
                    .get(
                        subscription=self._projection.shadow.name,
                        source=source,
                        audience=audience,
                        partition=partition,
                    )
                )
                request = catch_up.request(cursor)
                if request:
                    cursor.save()
                    requests.append(request)
        if requests:
            self._send(requests)


@dataclass(frozen=True, slots=True)
class Meeting:
    """Equal cursors, locked: those of the shadow, whose tables `prefix` names, and those of what serves."""

    prefix: str
    fresh: dict[Stream, Cursor]
    serving: dict[Stream, Cursor]


def _streams(projection: Projection) -> list[Stream]:
    return [(source, EVERYBODY, partition) for source in sorted(projection.sources) for partition in range(PARTITIONS)]


def _cursors_at_0(subscription: Subscription, streams: Iterable[Stream]) -> list[Cursor]:
    return [
        Cursor(subscription=subscription.name, source=source, audience=audience, partition=partition)
        for source, audience, partition in streams
    ]


def _level(serving: Cursor | None, fresh: Cursor) -> bool:
    """Whether both have read the same. Where the old one stopped, the shadow goes by itself: as far as there is."""
    if fresh.began_at is not None:
        return False
    if serving is None:
        return fresh.position == 0
    if serving.state == Cursor.State.ACTIVE and serving.message_id == fresh.message_id:
        return serving.position == fresh.position
    comparable = serving.state != Cursor.State.ACTIVE or serving.position == fresh.position
    return comparable and fresh.position >= fresh.head and fresh.requested_at is None


def _may_follow(serving: Cursor, fresh: Cursor) -> bool:
    """Whether what serves only has to come up to the shadow for both to be level."""
    return serving.state == Cursor.State.ACTIVE and serving.position < fresh.position


def _goal(serving: Cursor | None) -> int:
    return max(serving.position, serving.head) if serving and serving.state == Cursor.State.ACTIVE else 0


def _check(fresh: dict[Stream, Cursor]) -> None:
    for (source, audience, partition), cursor in fresh.items():
        stream = f"{source}.{audience}.{partition}"
        if cursor.state == Cursor.State.BELOW_FLOOR:
            text = f"{source} deleted messages of {stream} while they were read. Run the command again."
            raise Refused(text)
        if cursor.state == Cursor.State.DIVERGED:
            text = f"The history of {stream} was rewritten while it was read. Run the command again."
            raise Refused(text)
