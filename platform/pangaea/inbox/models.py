"""The inbox's tables. Every module's schema has them: always name the module, as in `.using("web_bff")`."""

from datetime import datetime

from django.conf import settings
from django.db import models
from django.db.models import F, Q, QuerySet

from pangaea.inbox.cursor import Cursor
from pangaea.inbox.stream_key import StreamKey
from pangaea.messages import KEY_LENGTH

__all__ = ["Attempt", "Cursor", "DeadLetter", "DiscardedLetter", "Resumption"]


class DeadLetter(StreamKey):
    """A message that its handler could not apply, or that waits behind another of its key. A row stops its key.

    The letter at a key's lowest position is retried at `next_attempt_at`, or is dead; the letters behind it are not
    attempted. `attempts` and `crashes` are counted before the handler runs; `crashes` are attempts whose outcome was
    never recorded, so the process must have crashed. `message_id` and `key` are those of the outbox; for a message that
    came without them they are read from its body, if that is possible.
    """

    class State(models.TextChoices):
        BEHIND = "behind", "behind"
        RETRYING = "retrying", "retrying"
        DEAD = "dead", "dead"

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
    crashes = models.IntegerField(default=0)
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

    # Properties

    @property
    def facts(self) -> dict[str, object]:
        """The fields by which a log line names the letter."""
        stream = {"subscription": self.subscription, "stream": self.stream_name}
        return {**stream, "position": self.position, "message": self.name, "key": self.key}

    # Mutators: each is one statement, since others may change the row at the same time.

    def claim(self, *, due: datetime, if_unclaimed: bool) -> bool:
        """Count an attempt before it begins. False if the letter has been applied or discarded.

        If the process crashes in the attempt, the letter is due again at `due`, and the crash is counted. A dead letter
        stays dead until it is applied: the operator who redrives it sees the outcome. With `if_unclaimed`, also returns
        False if another attempt has begun since the letter was read.
        """
        letters = self._row().filter(attempts=self.attempts) if if_unclaimed else self._row()
        if self.state != self.State.DEAD:
            self.state, self.next_attempt_at = self.State.RETRYING, due
        claimed = letters.update(
            attempts=F("attempts") + 1,
            crashes=F("crashes") + 1,
            state=self.state,
            next_attempt_at=self.next_attempt_at,
        )
        self.attempts += 1
        return bool(claimed)

    def unclaim(self) -> None:
        """Take the claimed attempt back: it failed for a reason other than the message."""
        self.attempts -= 1
        self._row().update(attempts=self.attempts, crashes=0)

    def note_failure(self, *, error: str, traceback: str) -> None:
        """Record why the claimed attempt failed. The process did not crash, so the letter's crashes are reset."""
        self.crashes = 0
        self._row().update(error=error, traceback=traceback, crashes=0)

    def give_up(self, *, error: str, traceback: str) -> bool:
        """End the letter's automatic retries. Returns whether they were ended.

        Nothing happens if the letter was changed since it was read or claimed: an operator has asked for a redrive or
        has discarded it, or another attempt has begun.
        """
        unchanged = {name: getattr(self, name) for name in ("state", "attempts", "crashes", "next_attempt_at")}
        letters = self._row().filter(**unchanged)
        return bool(letters.update(state=self.State.DEAD, next_attempt_at=None, error=error, traceback=traceback))

    def let_retry(self, *, now: datetime) -> None:
        """Make its key's lowest letter due. A dead letter gets one attempt. The caller holds the cursor's lock."""
        self.state, self.next_attempt_at = self.State.RETRYING, now
        self.crashes = min(self.crashes, settings.PANGAEA.crashes_at_most)
        self.save(update_fields=["state", "next_attempt_at", "crashes"])

    def _row(self) -> "QuerySet[DeadLetter]":
        return DeadLetter.objects.using(str(self._state.db)).filter(pk=self.pk)


class DiscardedLetter(StreamKey):
    """A message that an operator decided never to apply, kept with the reason. It stops nothing."""

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

    COPIED = ("position", "key", "name", "body", "error", "attempts", "parked_at")
    """The fields that are copied from the letter."""

    class Meta:
        db_table = "pangaea_discarded_letter"
        constraints = [models.CheckConstraint(condition=~Q(reason=""), name="pangaea_discarded_with_reason")]

    def __str__(self) -> str:
        return f"{self.name} at {self.position}: {self.reason}"

    # Factories

    @classmethod
    def of(cls, letter: DeadLetter, *, reason: str, by: str) -> "DiscardedLetter":
        """The record of a letter, unsaved. The caller saves it and deletes the letter."""
        copied = {name: getattr(letter, name) for name in cls.COPIED}
        return cls(**letter.stream, **copied, discarded_by=by, reason=reason)


class Resumption(StreamKey):
    """An operator's decision about a subscription on one stream: who, when, from where to where, and why.

    `state` is the state in which the subscription had stopped. `how` is "head", "start", or, if the cursor was deleted,
    "forget". `skipped` messages will never be applied, `repeated` messages are received again, and `discarded` messages
    were parked.
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
        return f"{self.subscription} on {self.stream_name}: {self.how}, {self.reason}"


class Attempt(StreamKey):
    """The last attempt that began on a stream, written before handlers run, so that a crash leaves it behind.

    `number` attempts began at this position of the cursor; `token` identifies the last. It covers the positions up to
    `until` without another write. `alone`: it covers the next message only.
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
        return f"{self.subscription} on {self.stream_name} after {self.position}"
