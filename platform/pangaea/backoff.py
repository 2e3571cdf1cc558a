"""How long to wait before the next attempt: twice the pause before, up to a limit (exponential backoff).

The jitter keeps those that failed together from coming back together (equal jitter,
aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter).
"""

import random
from dataclasses import dataclass

_MAX_DOUBLINGS = 64
"""Beyond any limit in use; 2.0 to the power of a count that grows for ever would overflow."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Pauses in seconds: `first` after one failure, then doubled, `longest` at most."""

    first: float
    longest: float

    def steady(self, failures: int) -> float:
        """The pause after this many failures in a row (1 or more)."""
        return min(self.first * 2.0 ** min(failures - 1, _MAX_DOUBLINGS), self.longest)

    def jittered(self, failures: int) -> float:
        """A random time between half of that pause and all of it."""
        return self.steady(failures) * random.uniform(0.5, 1)  # noqa: S311 - jitter, not a secret
