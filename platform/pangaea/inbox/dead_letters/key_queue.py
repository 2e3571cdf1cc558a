"""The parked messages of one key on one stream. Only the lowest position is attempted; the others wait behind it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import QuerySet

from pangaea.inbox.models import Cursor, DeadLetter


@dataclass(frozen=True, slots=True)
class KeyQueue:
    """The letters of a key. `stream` is the key of its cursor.

    The lowest letter is changed under the cursor's lock only. A consumer also holds this lock while it decides whether
    to park a message behind another: otherwise a message could wait behind nothing.
    """

    module: str
    stream: dict[str, Any]
    key: str

    @classmethod
    def of(cls, letter: DeadLetter) -> "KeyQueue":
        """The queue that a letter is in."""
        return cls(str(letter._state.db), letter.stream, letter.key)

    def lock(self) -> None:
        """Hold the cursor's lock until the end of the transaction.

        A forgotten subscription has no cursor to lock, and no letters either: they are deleted together.
        """
        Cursor.objects.using(self.module).select_for_update().filter(**self.stream).first()

    def letters(self) -> "QuerySet[DeadLetter]":
        """Its letters, the lowest position first."""
        return DeadLetter.objects.using(self.module).filter(**self.stream, key=self.key).order_by("position")

    def promote(self, *, now: datetime) -> None:
        """Make the lowest letter due, if it waited behind another. The caller holds the lock."""
        lowest = self.letters().first()
        if lowest and lowest.state == DeadLetter.State.BEHIND:
            lowest.let_retry(now=now)
