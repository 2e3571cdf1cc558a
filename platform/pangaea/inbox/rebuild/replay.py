"""Replaying a projection from the beginning of its streams, in a shadow, while the live tables are read and written.

On the bus the shadow is a subscription of its own, `<projection>~shadow`. Its cursors begin at 0 or, where history was
deleted, at the floor with a snapshot of what the producer captures. Producers answer its requests like those of any
other subscription. The module's worker applies each batch to the shadow first and then to the live tables, so a shadow
that has caught up is never behind them.

While both cursors of every stream are equal and locked, shadow and live tables have read the same messages. Then one
transaction replaces rows, parked messages and cursors, and no reader sees a projection go back in time.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TypeVar

import psycopg
import structlog
from django.conf import settings
from django.db import InterfaceError, InternalError, OperationalError, connections, transaction
from django.db.models import Max, Sum

from pangaea.inbox.models import Attempt, Cursor
from pangaea.inbox.rebuild import comparison, cut_over, rows, shadows
from pangaea.inbox.rebuild.comparison import Comparison
from pangaea.inbox.rebuild.cut_over import CutOver, Differs, Refused, Stream
from pangaea.inbox.rebuild.rows import Count
from pangaea.inbox.rebuild.shadows import Shadow
from pangaea.inbox.subscriptions import Projection, Subscription
from pangaea.wire import CatchUp

log = structlog.get_logger()

T = TypeVar("T")
Send = Callable[[Sequence[CatchUp]], None]

COMPARED_AT_MOST, COMPARE_INTERVAL = 50, 0.02
"""How often, and at which interval in seconds, the cursors are compared while the shadow's are locked."""

CONNECTION_LOST = (OperationalError, InterfaceError, InternalError, psycopg.OperationalError)
"""What a statement raises when the database was restarted, does not answer, or is read-only (25006)."""


@dataclass(frozen=True, slots=True)
class Progress:
    """The messages applied to the shadow, out of all known ones. `nearly_caught_up`: a cut-over is worth trying."""

    applied: int
    known: int
    nearly_caught_up: bool


def replayable(subscription: Subscription) -> Projection:
    """The subscription as a projection. Raises Refused for a Reaction, Misuse for a projection that names no models."""
    if not isinstance(subscription, Projection):
        raise Refused(f"{subscription.name} is a Reaction: a replay would repeat what it did.")
    rows.tables_of(subscription)
    return subscription


@contextmanager
def replaying(projection: Projection, send: Send) -> Iterator["Replay"]:
    """Create an empty shadow of the projection, which workers begin to fill; it is removed when the context ends.

    A shadow that a killed process left behind is removed first. Raises Refused while another process holds a shadow of
    the module.
    """
    module = projection.module
    with ExitStack() as turn:
        if not turn.enter_context(shadows.alone(module)):
            text = f"A projection of {module} is being rebuilt or reconciled at this moment; one at a time per module."
            raise Refused(text)
        try:
            cursors = cut_over.cursors_at_0(projection.shadow, cut_over.streams_of(projection))
            shadow = shadows.create(projection, rows.creatable(rows.tables_of(projection)), cursors)
            yield Replay(projection, shadow, send, turn)
        finally:
            _clear(module)


def _clear(module: str) -> None:
    try:
        shadows.clear(module)
    except CONNECTION_LOST as error:
        log.warning("shadow left behind", module=module, error=str(error), remedy="the next rebuild removes it")


class Replay:
    """One replay. Call `advance` until it has nearly caught up, then `replace` or `compare`; repeat until successful.

    Each of these methods may raise one of CONNECTION_LOST. Then it took effect either completely or not at all: call
    `resume` and continue.
    """

    def __init__(self, projection: Projection, shadow: Shadow, send: Send, turn: ExitStack) -> None:
        self._projection, self._shadow, self._send, self._turn = projection, shadow, send, turn
        self._moved: dict[Stream, tuple[int, float]] = {}
        self._request(cut_over.streams_of(projection))

    def advance(self) -> Progress:
        """How far the shadow has read. Requests messages again that do not arrive.

        Raises Refused if the shadow cannot be filled: history was deleted or rewritten meanwhile.
        """
        with self._shadow.entered():
            shadow = self._cursors(self._projection.shadow)
        live = self._cursors(self._projection)
        cut_over.check(shadow)
        late = [stream for stream, cursor in shadow.items() if not cut_over.is_caught_up(cursor, live.get(stream))]
        self._request(stream for stream in late if self._stands_still(stream, shadow[stream].position))
        applied = sum(cursor.position for cursor in shadow.values())
        known = sum(max(cursor.head, cut_over.known_head(live.get(stream))) for stream, cursor in shadow.items())
        # Under traffic some message is always in flight: the cursors are equal only while they are locked.
        nearly_caught_up = not late or known - applied <= settings.PANGAEA.relay_batch
        return Progress(applied, known, nearly_caught_up=nearly_caught_up)

    def resume(self) -> bool:
        """Reconnect after a loss, and take the module's rebuild lock again. False while another session has it.

        The other session may be this process's former one, until the server notices its end. Raises one of
        CONNECTION_LOST while the database does not answer, and Refused if the shadow was removed.
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
        """A value that changes whenever a worker of the module makes progress or begins an attempt."""
        module = self._projection.module
        taken = Cursor.objects.using(module).aggregate(taken=Sum("position"), at=Max("updated_at"))
        return taken, frozenset(Attempt.objects.using(module).values_list("token", flat=True))

    def replace(self, *, accept: Callable[[Sequence[Count]], bool]) -> list[Count] | None:
        """Replace the live tables by the shadow. Returns the counts of both, or None if the cursors were not equal.

        Raises Differs if the counts differ and `accept` returns False. `accept` runs under locks: it must not wait.
        """
        return self.at_equal_cursors(lambda moment: self._replace(moment, accept))

    def compare(self, *, limit: int) -> Comparison | None:
        """The differences, or None if the cursors were not equal. Changes nothing."""
        return self.at_equal_cursors(lambda moment: self._compare(moment, limit))

    def at_equal_cursors(self, work: Callable[[CutOver], T]) -> T | None:
        """Do the work in a transaction on the live tables at equal cursors. None if the cursors do not become equal."""
        module = self._projection.module
        # From now on a worker with a batch for the shadow waits. A batch that it has already applied to the shadow is
        # still applied to the live tables.
        with self._shadow.entered(), transaction.atomic(using=module):
            shadow = self._cursors(self._projection.shadow, lock=True)
            cut_over.check(shadow)
            with self._shadow.beside() as prefix:
                for _ in range(COMPARED_AT_MOST):
                    with transaction.atomic(using=module):
                        live = self._live()
                        late = [
                            stream
                            for stream, cursor in shadow.items()
                            if not cut_over.is_caught_up(cursor, live[stream])
                        ]
                        if not late:
                            return work(CutOver(prefix, shadow, live))
                        transaction.set_rollback(True, using=module)
                    if any(not cut_over.may_follow(live[stream], shadow[stream]) for stream in late):
                        return None
                    time.sleep(COMPARE_INTERVAL)
        return None

    def _replace(self, moment: CutOver, accept: Callable[[Sequence[Count]], bool]) -> list[Count]:
        counts = rows.count(self._projection, moment.prefix)
        if any(each.before != each.after for each in counts) and not accept(counts):
            raise Differs(counts)
        moment.replace(self._projection)
        return counts

    def _compare(self, moment: CutOver, limit: int) -> Comparison:
        try:
            return comparison.compare(self._projection, moment.prefix, limit=limit)
        finally:
            transaction.set_rollback(True, using=self._projection.module)

    def _cursors(self, subscription: Subscription, *, lock: bool = False) -> dict[Stream, Cursor]:
        cursors = Cursor.objects.using(subscription.module).filter(subscription=subscription.name).order_by("id")
        if lock:
            cursors = cursors.select_for_update()
        found = {(cursor.source, cursor.audience, cursor.partition): cursor for cursor in cursors}
        return {stream: found[stream] for stream in cut_over.streams_of(self._projection) if stream in found}

    def _live(self) -> dict[Stream, Cursor]:
        """The live cursors, locked. Missing ones are created first: otherwise a worker could create and move them."""
        missing = set(cut_over.streams_of(self._projection)) - self._cursors(self._projection).keys()
        Cursor.provide(self._projection.module, cut_over.cursors_at_0(self._projection, sorted(missing)))
        return self._cursors(self._projection, lock=True)

    def _stands_still(self, stream: Stream, position: int) -> bool:
        before, since = self._moved.get(stream, (None, 0.0))
        if position != before:
            self._moved[stream] = position, time.monotonic()
            return False
        return time.monotonic() - since > settings.PANGAEA.catch_up_renewal.total_seconds()

    def _request(self, streams: Iterable[Stream]) -> None:
        module, name, requests = self._projection.module, self._projection.shadow.name, []
        for source, audience, partition in streams:
            with self._shadow.entered(), transaction.atomic(using=module):
                cursors = Cursor.objects.using(module).select_for_update().filter(subscription=name)
                cursor = cursors.get(source=source, audience=audience, partition=partition)
                if request := cursor.request():
                    cursor.save()
                    requests.append(request)
        if requests:
            self._send(requests)
