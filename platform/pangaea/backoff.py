"""Exponential backoff: the pause before the next attempt doubles with each failure, up to a limit.

Jitter spreads the retries of clients that failed at the same time (equal jitter,
aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter).
"""

import random
from dataclasses import dataclass

_MAX_DOUBLINGS = 64
"""More doublings than any limit needs. Without this bound, 2.0 to the power of the failures would overflow."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Pauses in seconds: `first` after one failure, then doubled each time, at most `longest`."""

    first: float
    longest: float

    def steady(self, failures: int) -> float:
        """The pause after this many failures in a row (1 or more)."""
        return min(self.first * 2.0 ** min(failures - 1, _MAX_DOUBLINGS), self.longest)

    def jittered(self, failures: int) -> float:
        """A random pause between half of `steady(failures)` and all of it."""
        return self.steady(failures) * random.uniform(0.5, 1)  # noqa: S311 - jitter, not a secret
