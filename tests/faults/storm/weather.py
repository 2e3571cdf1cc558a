"""What goes wrong and when: drawn from a seed, so that a run can be repeated."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import cycle

from tests.faults.storm.deployment import Crew, Post

WAYS = ("all", "child", "parent")
"""Which of a worker's processes a kill ends: both, only the one that applies, or only the one that fetches."""
CALM = 5 / 6
"""Of the time; then no process is killed any more."""


@dataclass(frozen=True)
class Gust:
    """Something that goes wrong, `at` seconds after the beginning."""

    at: float
    what: str
    victim: int = 0
    how: str = "all"

    def __str__(self) -> str:
        details = f" {self.victim} ({self.how})" if self.what.startswith("kill") else ""
        return f"{self.at:5.1f} s {self.what}{details}"


def forecast(seed: int, *, seconds: float, kinds: Sequence[str], every: float, troubles: Sequence[str]) -> list[Gust]:
    """A kill about every this many seconds, of each kind in turn; the troubles in this order, spread over the time.

    The last trouble strikes at the end, some time after the last kill: what it breaks must heal without a restart.
    """
    drawn = random.Random(seed)
    ways = cycle(drawn.sample(WAYS, len(WAYS)))
    gusts: list[Gust] = []
    at = drawn.uniform(0, every)
    for kind in cycle(drawn.sample(kinds, len(kinds))):
        if at > seconds * CALM:
            break
        how = next(ways) if kind == "worker" else "all"
        gusts.append(Gust(at, f"kill {kind}", drawn.randrange(1_000), how))
        at += drawn.uniform(0.5, 1.5) * every
    *spread, last = troubles
    share = seconds * CALM / (len(spread) + 1)
    gusts.extend(Gust(share * (n + drawn.uniform(-0.3, 0.3)), what) for n, what in enumerate(spread, 1))
    return [*sorted(gusts, key=lambda gust: gust.at), Gust(seconds, last)]


@dataclass
class Storm:
    """Lets the gusts loose. Kills go on while a trouble of the servers lasts."""

    crew: Crew
    troubles: dict[str, Callable[[], int | None]]
    """Troubles by name. One that returns a number deleted that many broker messages."""
    happened: Counter[str] = field(default_factory=Counter)
    ways: Counter[str] = field(default_factory=Counter)
    thrown_away: int = 0

    def rage(self, gusts: Sequence[Gust], *, seconds: float) -> None:
        """Cause each gust at its time; returns when all are over and every server runs again."""
        began = time.monotonic()
        never = threading.Event()
        with ThreadPoolExecutor(max_workers=1) as servers:
            pending: list[Future[None]] = []
            for gust in gusts:
                never.wait(max(0.0, began + gust.at - time.monotonic()))
                if gust.what in self.troubles:
                    pending.append(servers.submit(self._trouble, gust.what))
                else:
                    self._kill(gust)
            never.wait(max(0.0, began + seconds - time.monotonic()))
            for each in pending:
                each.result()

    def _trouble(self, what: str) -> None:
        self.thrown_away += self.troubles[what]() or 0
        self.happened[what] += 1

    def _kill(self, gust: Gust) -> None:
        kind = gust.what.removeprefix("kill ")
        for post in self._candidates(kind, gust.victim):
            if done := self.crew.kill(post, how=gust.how):
                self.happened[gust.what] += 1
                self.ways[done] += 1
                return

    def _candidates(self, kind: str, first: int) -> Iterator[Post]:
        posts = self.crew.of(kind)
        return (posts[(first + n) % len(posts)] for n in range(len(posts)))
