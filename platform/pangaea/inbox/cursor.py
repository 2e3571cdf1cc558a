"""How far a subscription has read a stream: one row, changed only by its mutators and under its lock (ADR 0001).

Missed messages are requested from the producer: everything after the cursor. At most one request per cursor is
outstanding. The request has a number, which its answers carry: only these answers show the producer's present history.
"""

import secrets
from collections.abc import Iterable
from datetime import timedelta
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Self
from uuid import UUID

import structlog
from django.conf import settings
from django.db import connections, models
from django.db.models import Q
from django.utils import timezone

from pangaea.databases import engines
from pangaea.databases.rows import columns, instances
from pangaea.inbox.stream_key import FIELDS, StreamKey
from pangaea.wire import Batch, CatchUp

if TYPE_CHECKING:
    from pangaea.inbox.delivery import Delivery

log = structlog.get_logger()

NUMBER_BITS = 53
"""Bits of a request's number: a double holds that many exactly, and other languages may read the number as a double."""

# Run for every batch, hence SQL by hand.
_SELECT = """
SELECT {} FROM pangaea_cursor WHERE subscription = %s AND source = %s AND audience = %s AND partition = %s
"""
_PARKED = """
SELECT DISTINCT key FROM pangaea_dead_letter
WHERE subscription = %s AND source = %s AND audience = %s AND partition = %s AND key
"""
_ADVANCE = """
UPDATE pangaea_cursor
SET position = %s, message_id = %s, head = %s, waiting_since = %s, updated_at = CURRENT_TIMESTAMP WHERE id = %s
"""
_SELDOM = ("state", "requested_at", "requested_from", "question", "floor", "floor_id", "began_at")
"""Columns that most batches leave unchanged."""


class Verdict(Enum):
    """What to do with a batch."""

    APPLY = auto()
    KNOWN = auto()
    GAP = auto()
    VERIFY = auto()
    DIVERGED = auto()
    BELOW_FLOOR = auto()


class Cursor(StreamKey):
    """How far a subscription has read one stream. It moves in the effects' transaction: each message has effects once.

    `message_id` is the id of the message at `position`. `head` is the stream's last known position: the highest head of
    the batches that arrived, or the head in the last answer to a request. Lag is `head - position`.
    `requested_at`, `requested_from` and `question` (the request's number) are the one outstanding request to catch up.
    `floor` and `floor_id` come from the last answer: the producer has deleted the messages up to position `floor`, of
    which the last had the id `floor_id`. A projection that began at the floor has that position in `began_at`, until it
    has taken a snapshot that began after it.
    `waiting_since` is the time since which messages or a snapshot wait and none was taken; None while none waits.
    """

    class State(models.TextChoices):
        ACTIVE = "active", "active"
        DIVERGED = "diverged", "diverged"
        BELOW_FLOOR = "below_floor", "below the floor"

    id = models.BigAutoField(primary_key=True)
    position = models.BigIntegerField(default=0)
    message_id = models.UUIDField(null=True)
    head = models.BigIntegerField(default=0)
    state = models.CharField(max_length=16, choices=State.choices, default=State.ACTIVE)
    requested_at = models.DateTimeField(null=True)
    requested_from = models.BigIntegerField(null=True)
    question = models.BigIntegerField(null=True)
    floor = models.BigIntegerField(default=0, db_default=0)
    floor_id = models.UUIDField(null=True)
    began_at = models.BigIntegerField(null=True)
    waiting_since = models.DateTimeField(null=True)
    updated_at = models.DateTimeField(auto_now=True)

    as_stored: tuple[Any, ...] | None = None
    """The stored values of the columns in _SELDOM; None unless the row was read under its lock."""

    class Meta:
        db_table = "pangaea_cursor"
        constraints = [
            models.UniqueConstraint(fields=FIELDS, name="pangaea_cursor_once"),
            models.CheckConstraint(condition=Q(position__gte=0), name="pangaea_cursor_from_zero"),
        ]

    def __str__(self) -> str:
        return f"{self.subscription} on {self.stream_name} at {self.position}"

    # Factories

    @classmethod
    def peek(cls, delivery: "Delivery") -> "Cursor | None":
        """The cursor without its lock; None before the first batch of its stream."""
        return cls._find(delivery, _SELECT)

    @classmethod
    def lock(cls, delivery: "Delivery", keys: set[str]) -> "tuple[Cursor, set[str]]":
        """The cursor, locked until the end of the transaction, and which of the keys have a parked message.

        Messages are parked under this lock. So the parked keys are read by a second statement, once the lock is held.
        """
        connection = connections[delivery.module]
        select = f"{_SELECT} FOR UPDATE" if connection.features.has_select_for_update else _SELECT
        cursor = cls._find(delivery, select)
        if cursor is None:
            cls.begin(delivery)
            return cls.lock(delivery, keys)
        cursor.as_stored = cursor.seldom_changed
        engine = engines.of(delivery.module)
        among, value = engine.any_of(keys)
        stopped = engine.rows(connection, _PARKED + among, *delivery.stream, value)
        return cursor, {key for (key,) in stopped}

    @classmethod
    def begin(cls, delivery: "Delivery") -> None:
        """Create a missing cursor: at the stream's beginning, or before this batch if the subscription begins "now"."""
        cursor = Cursor(**dict(zip(FIELDS, delivery.stream, strict=True)))
        if delivery.subscription.begins == "now":
            cursor.position, cursor.message_id = delivery.batch.first - 1, delivery.batch.before
        cls.provide(delivery.module, [cursor])

    @classmethod
    def provide(cls, module: str, cursors: Iterable[Self]) -> None:
        """Create the missing ones of these cursors; existing ones stay unchanged."""
        # DO NOTHING would also ignore an id that is in use, and leave the cursor missing.
        cls.objects.using(module).bulk_create(
            cursors, update_conflicts=True, unique_fields=FIELDS, update_fields=["subscription"]
        )

    @classmethod
    def _find(cls, delivery: "Delivery", select: str) -> "Cursor | None":
        module = delivery.module
        rows = engines.of(module).rows(connections[module], select.format(columns(cls)), *delivery.stream)
        return instances(cls, module, rows)[0] if rows else None

    # Mutators

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Set `waiting_since` and write the row: by a short statement if no column in _SELDOM has changed."""
        waits = self.position < self.head or self.began_at is not None
        self.waiting_since = (self.waiting_since or timezone.now()) if waits else None
        if self.as_stored is None or self.as_stored != self.seldom_changed:
            super().save(*args, **kwargs)
            self.as_stored = self.as_stored and self.seldom_changed
            return
        connection = connections[str(self._state.db)]
        message_id = self.message_id.hex if self.message_id else None
        since = connection.ops.adapt_datetimefield_value(self.waiting_since)
        engines.of(connection.alias).rows(connection, _ADVANCE, self.position, message_id, self.head, since, self.pk)

    def advance(self, position: int, message_id: UUID | None) -> None:
        """Move on to a message that was taken. The caller holds the lock and saves, as for all mutators below."""
        self._move(position, message_id)
        self.on_progress()

    def respond(self, delivery: "Delivery", verdict: Verdict) -> CatchUp | None:
        """Note what follows from a batch that is not applied. Returns the request to send after the commit, if any."""
        batch, subscription = delivery.batch, delivery.subscription
        match verdict:
            case Verdict.GAP | Verdict.VERIFY:
                self.on_partial_answer(batch)
                return self.request()
            case Verdict.KNOWN:
                self.on_known(batch)
                return self.request() if self._lacks_snapshot(batch) else None
            case Verdict.BELOW_FLOOR if subscription.replayable and self.may_begin_at_floor:
                self.begin_at_floor()
                return self.request()
            case Verdict.BELOW_FLOOR:
                self.stop(Cursor.State.BELOW_FLOOR, remedy=subscription.remedy)
            case Verdict.DIVERGED:
                self.stop(Cursor.State.DIVERGED, remedy=subscription.remedy)
        return None

    def request(self) -> CatchUp | None:
        """The request to send once the transaction is committed; None while an earlier one still makes progress."""
        if self.is_outstanding:
            return None
        self.requested_at = timezone.now()
        if self.question is None or self.requested_from != self.position:
            # A request that is repeated from the same position keeps its number: where a queue takes longer than the
            # renewal, every answer would otherwise have an earlier request's number. The number is random because a
            # count would repeat after a restore.
            self.question = secrets.randbits(NUMBER_BITS)
        self.requested_from = self.position
        log.info("catch-up requested", **self._facts, head=self.head)
        asked = {"position": self.position, "message_id": self.message_id, "question": self.question}
        return CatchUp(**self.stream | asked, snapshot_after=self.began_at)

    def stop(self, state: State, *, remedy: str) -> None:
        """Stop reading this stream until an operator acts."""
        self.state = state
        log.error("subscription stopped", **self._facts, state=state.value, remedy=remedy)

    def resume(self, position: int, message_id: UUID | None) -> None:
        """Continue from this position, without an outstanding request and without waiting for a snapshot."""
        self._move(position, message_id)
        self.state, self.began_at = Cursor.State.ACTIVE, None
        self.on_answer()

    def follow(self, shadow: "Cursor") -> None:
        """Continue from the position of the shadow, whose rows replace the live ones."""
        self.head = shadow.head
        self.resume(shadow.position, shadow.message_id)

    def begin_at_floor(self) -> None:
        """Move on to the floor; a snapshot has to bring what was deleted before the cursor counts as caught up."""
        self._move(self.floor, self.floor_id)
        self.began_at = self.floor
        self.on_answer()

    def note_head(self, batch: Batch) -> None:
        """Note the stream's head. A batch may be late, so it only raises the head; an answer sets head and floor."""
        if self.is_answer(batch):
            self.head, self.floor, self.floor_id = batch.head, batch.floor, batch.floor_id
        else:
            self.head = max(self.head, batch.head)

    def note_snapshot(self, batch: Batch) -> None:
        """End the wait for a snapshot, if this batch shows that the cursor has taken one that began late enough."""
        if self.has_snapshot(batch) and batch.snapshot and self.position >= batch.snapshot[1]:
            self.began_at = None

    def on_partial_answer(self, batch: Batch) -> None:
        """End the request whose answer leaves a gap: a long answer comes in parts, and the rest is requested at once.

        It is not ended if nothing was taken since the request: then the answer was lost, and another request at once
        would lose it again.
        """
        if self.is_answer(batch) and batch.asked is not None and self.position > batch.asked:
            self.on_answer()

    def on_known(self, batch: Batch) -> None:
        """End the request if its answer brought nothing to apply."""
        if self.is_answer(batch) and (batch.asked == self.position or self.position >= self.head):
            self.on_answer()

    def on_answer(self) -> None:
        """End the request, so that the next gap is requested at once."""
        self.requested_at = self.requested_from = self.question = None

    def on_progress(self) -> None:
        """Renew the outstanding request after a move, or end it if the cursor has reached the known head."""
        if self.requested_at is not None:
            self.requested_at = timezone.now()
            if self.position >= self.head:
                self.on_answer()

    def _move(self, position: int, message_id: UUID | None) -> None:
        self.position, self.message_id, self.waiting_since = position, message_id, None

    # Queries

    def judge(self, delivery: "Delivery") -> Verdict:
        """What to do with a batch, given this cursor.

        A batch that starts after the next position shows a gap. At the cursor's position batch and cursor must have the
        same message id, or the producer has another history. Only the answer to a request proves that: any other batch
        may be late and of a former history, so a contradiction in it is verified by a request. An announcement that
        ends before the known head is verified too.
        """
        if self.state != Cursor.State.ACTIVE:
            return Verdict.KNOWN
        batch, messages, position = delivery.batch, delivery.messages, self.position
        last = batch.first + len(messages) - 1
        is_decisive = self.decides(batch)
        if is_decisive and batch.head < position:
            return Verdict.DIVERGED
        if batch.first > position + 1:
            return Verdict.BELOW_FLOOR if is_decisive and position < batch.floor else Verdict.GAP
        if not self.joins(delivery):
            return Verdict.DIVERGED if is_decisive else Verdict.VERIFY
        if last > position:
            return Verdict.APPLY if self.may_join(batch) else Verdict.VERIFY
        # An answer may end below the cursor, as long as the relay has not settled what it sent.
        is_suspicious = not messages and not is_decisive and (last < position or self.head > position)
        return Verdict.VERIFY if is_suspicious else Verdict.KNOWN

    def joins(self, delivery: "Delivery") -> bool:
        """Whether batch and cursor have the same message id at the cursor's position; True if either is unknown."""
        batch, messages = delivery.batch, delivery.messages
        index = self.position - batch.first
        known = batch.before if index < 0 else messages[index].id if index < len(messages) else None
        return not self.position or known is None or self.message_id in {None, known}

    @classmethod
    def ignores(cls, delivery: "Delivery") -> bool:
        """Whether a batch has no message to apply and leaves the cursor unchanged, its head included. Takes no lock."""
        cursor, batch = cls.peek(delivery), delivery.batch
        if cursor is None:
            return False
        match cursor.judge(delivery):
            case Verdict.KNOWN:
                return batch.head <= cursor.head and cursor.began_at is None and not cursor.is_answer(batch)
            case Verdict.GAP | Verdict.VERIFY:
                # A live batch beyond a gap shows nothing that the awaited answer will not show.
                return batch.asked is None and cursor.is_outstanding
        return False

    @property
    def is_outstanding(self) -> bool:
        """Whether a request is outstanding that still makes progress."""
        age = timezone.now() - self.requested_at if self.requested_at else None
        # An age below zero is a clock that was set back.
        return age is not None and timedelta(0) <= age < settings.PANGAEA.catch_up_renewal

    def is_answer(self, batch: Batch) -> bool:
        """Whether a batch belongs to the answer to the outstanding request.

        A producer of the previous version does not number its answers: then the positions are compared. A worker of
        that version does not clear the number when it notes the answer, so the number alone does not suffice.
        """
        if self.requested_at is None:
            return False
        if batch.question is None:
            return batch.asked is not None and batch.asked == self.requested_from
        return batch.question == self.question

    def decides(self, batch: Batch) -> bool:
        """Whether a batch shows what the producer has at the cursor's position: only the numbered answer does."""
        return batch.question is not None and self.is_answer(batch) and batch.asked == self.position

    def may_join(self, batch: Batch) -> bool:
        """Whether a batch with the next message may be applied.

        After an operator has set the cursor to the head, the id at the head is not known, and any batch of a former
        history would seem to follow. Then only the answer to a request from this position may be applied.
        """
        knows_id = self.position == 0 or self.message_id is not None
        return knows_id or (self.is_answer(batch) and batch.asked == self.position)

    @property
    def may_begin_at_floor(self) -> bool:
        """Whether the subscription has taken no message since it began, on this stream.

        Then it has no row that a message below the floor, deleted since, would have removed.
        """
        return self.position in {0, self.began_at}

    def has_snapshot(self, batch: Batch) -> bool:
        """Whether the cursor waits for no snapshot, or this batch names a snapshot that began late enough."""
        return self.began_at is None or (batch.snapshot is not None and batch.snapshot[0] >= self.began_at)

    def _lacks_snapshot(self, batch: Batch) -> bool:
        """Whether to request the missing snapshot again: a live batch names none that began late enough."""
        return self.state == Cursor.State.ACTIVE and batch.asked is None and not self.has_snapshot(batch)

    @property
    def seldom_changed(self) -> tuple[Any, ...]:
        """The values of the columns in _SELDOM."""
        return tuple(map(self.__dict__.get, _SELDOM))

    @property
    def _facts(self) -> dict[str, Any]:
        return {"subscription": self.subscription, "stream": self.stream_name, "position": self.position}
