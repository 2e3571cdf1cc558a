"""The failed password attempts per account and per network, and the pause before the next attempt."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import models

from pangaea.backoff import Backoff

FIRST_PAUSE = timedelta(seconds=1)
"""The pause after the first failure that is not free; each further one doubles it."""


@dataclass(frozen=True, slots=True)
class Limit:
    """How many failures cause no pause, and the longest pause after further ones.

    One failure is forgotten per `longest_pause`. So the sustained rate of attempts is one per `longest_pause`, however
    they are spread over time.
    """

    free: int
    longest_pause: timedelta

    def pause_after(self, failures: int) -> timedelta:
        """The pause before the next attempt, after this many failures."""
        if failures <= self.free:
            return timedelta(0)
        backoff = Backoff(FIRST_PAUSE.total_seconds(), self.longest_pause.total_seconds())
        return timedelta(seconds=backoff.steady(failures - self.free))


@dataclass(frozen=True, slots=True)
class Pause:
    """The `retry_at` of a row before and after an attempt was counted."""

    before: datetime
    after: datetime


class FailureCount(models.Model):
    """The failed attempts of one account, of one network, or of an account from a network.

    A row contains neither name nor address: its key is a keyed hash. It is deleted after `expires_at`.
    """

    key = models.CharField(max_length=64, unique=True)
    retry_at = models.DateTimeField()
    """Attempts before this moment are refused."""
    forgotten_at = models.DateTimeField()
    """When the last failure is forgotten. The number of failures is the time until then in units of `longest_pause`."""
    known_until = models.DateTimeField(null=True)
    """Until when the network is known for the account, because the right password was given there.

    Set only in the row of an account from a network.
    """
    expires_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return self.key

    # Mutators. They expect the row to be locked, and do not save.

    def count(self, limit: Limit, *, now: datetime) -> Pause:
        """Count a failure. Returns `retry_at` before and after."""
        before = self.retry_at
        self.forgotten_at = max(self.forgotten_at, now) + limit.longest_pause
        self.retry_at = now + limit.pause_after(self.failures(limit, now=now))
        self.expires_at = max(self.expires_at, self.forgotten_at)
        return Pause(before, self.retry_at)

    def take_back(self, failures: int, limit: Limit, *, pause: Pause) -> None:
        """Forget this many failures, and the pause that an attempt set, unless a later attempt set another one."""
        self.forgotten_at -= failures * limit.longest_pause
        if self.retry_at == pause.after:
            self.retry_at = pause.before

    def clear(self, *, now: datetime, known_until: datetime | None) -> None:
        """Forget all failures. The network is known until `known_until`; None where there is no network."""
        self.retry_at = self.forgotten_at = now
        self.known_until = known_until
        self.expires_at = known_until or now

    # Properties

    def is_known(self, *, now: datetime) -> bool:
        """Whether the network is known for the account."""
        return self.known_until is not None and self.known_until > now

    def failures(self, limit: Limit, *, now: datetime) -> int:
        """The number of failures that are not forgotten."""
        return max(0, -((now - self.forgotten_at) // limit.longest_pause))
