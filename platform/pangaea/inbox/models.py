"""Cursors and dead letters. Every module's schema has these tables; always say which: `.using("web_bff")`."""

from typing import Any
from uuid import UUID

from django.db import models
from django.db.models import Q
from django.utils import timezone

from pangaea.messages import KEY_LENGTH


class Place(models.Model):
    """A subscription and the stream it reads: abstract, shared by the tables below."""

    subscription = models.CharField(max_length=127)
    source = models.CharField(max_length=63)
    audience = models.CharField(max_length=63)
    partition = models.SmallIntegerField()

    class Meta:
        abstract = True


class Cursor(Place):
    """How far a subscription has read one stream. It moves in the effects' transaction, so each message counts once.

    `message_id` is the id of the message at `position`. `head` is the stream's last position as far as it is known: the
    highest of the batches that arrived, and what the last answer to a request says. Lag is `head - position`.
    `requested_at`, `requested_from` and `question`, its number, are the one outstanding request to catch up.
    The producer has deleted the messages up to `floor`, the last one's id is `floor_id`, as its last answer said. A
    projection that begins there has `began_at` until it has taken a snapshot that began after that position.
    `waiting_since` is the moment since which messages wait, or a snapshot, and none was taken; None while none waits.
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

    class Meta:
        db_table = "pangaea_cursor"
        constraints = [
            models.UniqueConstraint(
                fields=["subscription", "source", "audience", "partition"], name="pangaea_cursor_once"
            ),
            models.CheckConstraint(condition=Q(position__gte=0), name="pangaea_cursor_from_zero"),
        ]

    def __str__(self) -> str:
        return f"{self.subscription} on {self.source}.{self.audience}.{self.partition} at {self.position}"

    # Mutators

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.note_waiting()
        super().save(*args, **kwargs)

    def advance(self, position: int, message_id: UUID | None) -> None:
        """Move on to a message that was taken; saved by the caller."""
        self.position, self.message_id, self.waiting_since = position, message_id, None

    def note_waiting(self) -> None:
        """Begin or end the time that messages or a snapshot wait, before the row is written."""
        waits = self.position < self.head or self.began_at is not None
        self.waiting_since = (self.waiting_since or timezone.now()) if waits else None


class DeadLetter(Place):
    """A message that its handler could not apply, or that waits behind one of its key. A row here stops its key.

    The lowest position of a key is tried again at `next_attempt_at`, or is dead; those behind it have no attempts of
    their own. `attempts` and `deaths` are counted before the handler runs; `deaths` are attempts of which nothing more
    was heard, so the process must have ended. `message_id` and `key` are those of the outbox; of a message that came
    without them they are made out of its body, where that is possible.
    """

    class State(models.TextChoices):
        BEHIND = "behind", "behind another of its key"
        RETRYING = "retrying", "tried again by itself"
        DEAD = "dead", "tried no more: redrive or discard it"

    id = models.BigAutoField(primary_key=True)
    position = models.BigIntegerField()
    message_id = models.UUIDField(null=True)
    key = models.CharField(max_length=KEY_LENGTH)
    name = models.CharField(max_length=127)
    body = models.TextField()
    state = models.CharField(max_length=16, choices=State.choices, default=State.BEHIND)
    error = models.TextField(blank=True)
    traceback = models.TextField(blank=True)
    attempts = models.IntegerField(default=0)
    deaths = models.IntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True)
    parked_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "pangaea_dead_letter"
        constraints = [
            models.UniqueConstraint(
                fields=["subscription", "source", "audience", "partition", "position"], name="pangaea_dead_letter_once"
            ),
            models.CheckConstraint(
                condition=Q(state="retrying", next_attempt_at__isnull=False)
                | (~Q(state="retrying") & Q(next_attempt_at__isnull=True)),
                name="pangaea_dead_letter_timed",
            ),
        ]
        indexes = [
            models.Index(
                fields=["subscription", "source", "audience", "partition", "key", "position"],
                name="pangaea_dead_letter_of_key",
            ),
            models.Index(fields=["next_attempt_at"], condition=Q(state="retrying"), name="pangaea_dead_letter_due"),
        ]

    def __str__(self) -> str:
        return f"{self.name} at {self.position}: {self.error or 'behind another'}"


class DiscardedLetter(Place):
    """A message that will never be applied, because an operator said so; kept with the reason. It stops nothing."""

    id = models.BigAutoField(primary_key=True)
    position = models.BigIntegerField()
    key = models.CharField(max_length=KEY_LENGTH)
    name = models.CharField(max_length=127)
    body = models.TextField()
    error = models.TextField(blank=True)
    attempts = models.IntegerField()
    parked_at = models.DateTimeField()
    discarded_at = models.DateTimeField(auto_now_add=True)
    discarded_by = models.CharField(max_length=150)
    reason = models.TextField()

    class Meta:
        db_table = "pangaea_discarded_letter"
        constraints = [models.CheckConstraint(condition=~Q(reason=""), name="pangaea_discarded_with_reason")]

    def __str__(self) -> str:
        return f"{self.name} at {self.position}: {self.reason}"


class Resumption(Place):
    """What an operator decided about a subscription on one stream: who, when, from where to where, and why.

    `state` is the one that it was stopped in. `how` is "head", "start", or "forget" where the cursor was deleted.
    `skipped` messages will never be applied by this, `repeated` ones are met again; `discarded` were parked.
    """

    id = models.BigAutoField(primary_key=True)
    how = models.CharField(max_length=8)
    state = models.CharField(max_length=16)
    from_position = models.BigIntegerField()
    to_position = models.BigIntegerField(null=True)
    skipped = models.BigIntegerField(default=0)
    repeated = models.BigIntegerField(default=0)
    discarded = models.IntegerField(default=0)
    decided_at = models.DateTimeField(auto_now_add=True)
    decided_by = models.CharField(max_length=150)
    reason = models.TextField()

    class Meta:
        db_table = "pangaea_resumption"
        constraints = [models.CheckConstraint(condition=~Q(reason=""), name="pangaea_resumption_with_reason")]

    def __str__(self) -> str:
        return f"{self.subscription} on {self.source}.{self.audience}.{self.partition}: {self.how}, {self.reason}"


class Attempt(Place):
    """What was last begun on a stream, written before handlers run; it tells of a process that did not live to its end.

    `number` attempts began at this cursor position, the last one as `token`; it goes on up to the position `until`
    without writing again. `alone`: at the next message only.
    """

    pk = models.CompositePrimaryKey("subscription", "source", "audience", "partition")
    position = models.BigIntegerField()
    until = models.BigIntegerField()
    number = models.IntegerField()
    alone = models.BooleanField()
    token = models.CharField(max_length=32)

    class Meta:
        db_table = "pangaea_attempt"

    def __str__(self) -> str:
        return f"{self.subscription} on {self.source}.{self.audience}.{self.partition} after {self.position}"
