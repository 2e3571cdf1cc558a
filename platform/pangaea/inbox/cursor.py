"""How far a subscription has read a stream: one row, read under its lock, judged (ADR 0001), written by its mutators.

What was missed is requested from the producer: everything from the cursor. At most one request per cursor is
outstanding. It has a number, which its answers carry: only they show the producer's present history.
"""

import secrets
from datetime import timedelta
from enum import Enum, auto
from typing import TYPE_CHECKING, Any
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
"""Bits of a request's number: what a double holds exactly, should another language read it as one."""

# Every batch passes these, hence SQL by hand.
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
    """How far a subscription has read one stream. It moves in the effects' transaction, so each message counts once.

    `message_id` is the id of the message at `position`. `head` is the stream's last known position: the highest of the
    batches that arrived, or that of the last answer to a request. Lag is `head - position`.
    `requested_at`, `requested_from` and `question`, its number, are the one outstanding request to catch up.
    The producer has deleted the messages up to `floor`, whose last one has `floor_id`, according to its last answer. A
    projection that begins there has `began_at` until it has taken a snapshot that began after that position.
    `waiting_since` is the moment since which messages or a snapshot wait and none was taken; None while none waits.
    """

    class State(models.TextChoices):
        ACTIVE = "active", "active"
        DIVERGED = "diverged", "diverged: the producer's history is another"
        BELOW_FLOOR = "below_floor", "below the floor: the producer has deleted what comes next"

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

    as_locked: tuple[Any, ...] | None = None
    """The seldom changed columns when the row was locked."""

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
        """The cursor, locked until the end of the transaction, and those of the keys that have a parked message there.

        A message is parked under this lock, so a statement of its own asks for the keys once it is held.
        """
        connection = connections[delivery.module]
        select = f"{_SELECT} FOR UPDATE" if connection.features.has_select_for_update else _SELECT
        cursor = cls._find(delivery, select)
        if cursor is None:
            cls.begin(delivery)
            return cls.lock(delivery, keys)
        cursor.as_locked = tuple(map(cursor.__dict__.get, _SELDOM))
        engine = engines.of(delivery.module)
        among, value = engine.any_of(keys)
        stopped = engine.rows(connection, _PARKED + among, *delivery.stream, value)
        return cursor, {key for (key,) in stopped}

    @classmethod
    def begin(cls, delivery: "Delivery") -> None:
        """Create the cursor, if there is none: at the stream's beginning, or before this batch where it begins now."""
        cursor = Cursor(**dict(zip(FIELDS, delivery.stream, strict=True)))
        if delivery.subscription.begins == "now":
            cursor.position, cursor.message_id = delivery.batch.first - 1, delivery.batch.before
        Cursor.objects.using(delivery.module).bulk_create([cursor], ignore_conflicts=True)

    @classmethod
    def _find(cls, delivery: "Delivery", select: str) -> "Cursor | None":
        module = delivery.module
        rows = engines.of(module).rows(connections[module], select.format(columns(cls)), *delivery.stream)
        return instances(cls, module, rows)[0] if rows else None

    # Mutators

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Write the row, and since when messages wait. Where only position and head may have changed, by hand."""
        waits = self.position < self.head or self.began_at is not None
        self.waiting_since = (self.waiting_since or timezone.now()) if waits else None
        if self.as_locked is None or self.as_locked != tuple(map(self.__dict__.get, _SELDOM)):
            super().save(*args, **kwargs)
            return
        connection = connections[str(self._state.db)]
        message_id = self.message_id.hex if self.message_id else None
        since = connection.ops.adapt_datetimefield_value(self.waiting_since)
        engines.of(connection.alias).rows(connection, _ADVANCE, self.position, message_id, self.head, since, self.pk)

    def advance(self, position: int, message_id: UUID | None) -> None:
        """Move on to a message that was taken. Like all of the following, it is saved by the caller, under the lock."""
        self._move(position, message_id)
        self.on_progress()

    def respond(self, delivery: "Delivery", verdict: Verdict) -> CatchUp | None:
        """Note what a batch means of which nothing is applied; the request to send once this is committed."""
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
            # Sent again from the same position a request keeps its number: else, in a queue longer than the renewal
            # takes, no answer would ever be the last one's. Random, because after a restore a count would repeat.
            self.question = secrets.randbits(NUMBER_BITS)
        self.requested_from = self.position
        log.info("catch-up requested", **self._facts, head=self.head)
        asked = {"position": self.position, "message_id": self.message_id, "question": self.question}
        return CatchUp(**self.stream | asked, snapshot_after=self.began_at)

    def stop(self, state: State, *, remedy: str) -> None:
        """Take nothing more of this stream until an operator acts."""
        self.state = state
        log.error("subscription stopped", **self._facts, state=state.value, remedy=remedy)

    def resume(self, position: int, message_id: UUID | None) -> None:
        """Go on from this position, as if nothing had been requested and no snapshot were missing."""
        self._move(position, message_id)
        self.state, self.began_at = Cursor.State.ACTIVE, None
        self.on_answer()

    def follow(self, shadow: "Cursor") -> None:
        """Go on where the shadow is, whose rows replace the live ones."""
        self.head = shadow.head
        self.resume(shadow.position, shadow.message_id)

    def begin_at_floor(self) -> None:
        """Move on to the floor; a snapshot has to bring what was deleted before the cursor counts as caught up."""
        self._move(self.floor, self.floor_id)
        self.began_at = self.floor
        self.on_answer()

    def note_head(self, batch: Batch) -> None:
        """Note the stream's last position. A batch may be late, and only raises it; an answer sets head and floor."""
        if self.is_answer(batch):
            self.head, self.floor, self.floor_id = batch.head, batch.floor, batch.floor_id
        else:
            self.head = max(self.head, batch.head)

    def note_snapshot(self, batch: Batch) -> None:
        """Note that the snapshot which the cursor waits for has been taken to its end."""
        if self.has_snapshot(batch) and batch.snapshot and self.position >= batch.snapshot[1]:
            self.began_at = None

    def on_partial_answer(self, batch: Batch) -> None:
        """Note that a batch leaves a gap: a long answer ends like that, for the rest to be requested at once.

        Not where nothing was taken since the request: its answer was lost, and haste would only repeat that.
        """
        if self.is_answer(batch) and batch.asked is not None and self.position > batch.asked:
            self.on_answer()

    def on_known(self, batch: Batch) -> None:
        """Note that a batch brought nothing: as the answer, it ends the request."""
        if self.is_answer(batch) and (batch.asked == self.position or self.position >= self.head):
            self.on_answer()

    def on_answer(self) -> None:
        """Note that nothing is outstanding, so that the next gap is requested at once."""
        self.requested_at = self.requested_from = self.question = None

    def on_progress(self) -> None:
        """Note that the cursor moved: the request is answered at the known head, and until then it is alive."""
        if self.requested_at is not None:
            self.requested_at = timezone.now()
            if self.position >= self.head:
                self.on_answer()

    def _move(self, position: int, message_id: UUID | None) -> None:
        self.position, self.message_id, self.waiting_since = position, message_id, None

    # Queries

    def judge(self, delivery: "Delivery") -> Verdict:
        """What a batch means here.

        One that starts after the next position is a gap. Where it meets the cursor the ids must be equal, or the
        producer's history is another one. Any batch but the answer may be late, and of a former history: what it
        contradicts is a suspicion, to be verified by a request. So is an announcement that ends before the known head.
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
        # An answer may stay below the cursor, while the relay has not settled what it sent.
        is_suspicious = not messages and not is_decisive and (last < position or self.head > position)
        return Verdict.VERIFY if is_suspicious else Verdict.KNOWN

    def joins(self, delivery: "Delivery") -> bool:
        """Whether the batch has the id of the last message taken, as far as both are known."""
        batch, messages = delivery.batch, delivery.messages
        index = self.position - batch.first
        known = batch.before if index < 0 else messages[index].id if index < len(messages) else None
        return not self.position or known is None or self.message_id in {None, known}

    @classmethod
    def ignores(cls, delivery: "Delivery") -> bool:
        """Whether a batch that brings nothing to apply changes nothing, not even the head: judged without the lock."""
        cursor, batch = cls.peek(delivery), delivery.batch
        if cursor is None:
            return False
        match cursor.judge(delivery):
            case Verdict.KNOWN:
                return batch.head <= cursor.head and cursor.began_at is None and not cursor.is_answer(batch)
            case Verdict.GAP | Verdict.VERIFY:
                # What is live beyond a gap shows nothing that the answer on its way will not show.
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

        A producer of the version before numbers no answers: there the position is compared. A worker of that version
        leaves the number behind when it notes the answer, so the number alone does not suffice.
        """
        if self.requested_at is None:
            return False
        if batch.question is None:
            return batch.asked is not None and batch.asked == self.requested_from
        return batch.question == self.question

    def decides(self, batch: Batch) -> bool:
        """Whether a batch shows what the producer has at the cursor's position: the numbered answer alone does."""
        return batch.question is not None and self.is_answer(batch) and batch.asked == self.position

    def may_join(self, batch: Batch) -> bool:
        """Whether a batch with the next message may be taken here.

        Where the id at the cursor is not known, after an operator has set it to the head, any batch of a former history
        would seem to follow: there only the answer to a request from this position does.
        """
        knows_id = self.position == 0 or self.message_id is not None
        return knows_id or (self.is_answer(batch) and batch.asked == self.position)

    @property
    def may_begin_at_floor(self) -> bool:
        """Whether nothing was taken yet: rows that the deleted messages would have removed are not there."""
        return self.position in {0, self.began_at}

    def has_snapshot(self, batch: Batch) -> bool:
        """Whether a snapshot has been taken since the cursor began, as far as this batch shows."""
        return self.began_at is None or (batch.snapshot is not None and batch.snapshot[0] >= self.began_at)

    def _lacks_snapshot(self, batch: Batch) -> bool:
        """Whether to ask again for the snapshot that the cursor waits for: an announcement shows that there is none."""
        return self.state == Cursor.State.ACTIVE and batch.asked is None and not self.has_snapshot(batch)

    @property
    def _facts(self) -> dict[str, Any]:
        return {"subscription": self.subscription, "stream": self.stream_name, "position": self.position}
