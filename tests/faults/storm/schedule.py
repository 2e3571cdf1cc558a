"""Incidents and their times, drawn from a seed, so that a run can be repeated."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import cycle

from tests.faults.storm.deployment import Slot, Supervisor

WAYS = ("all", "child", "parent")
"""Which of a worker's processes a kill ends: both, only the one that applies, or only the one that fetches."""
KILLING = 5 / 6
"""The part of the time in which processes are killed, from the beginning."""


@dataclass(frozen=True)
class Incident:
    """A kill or a trouble, `at` seconds after the beginning."""

    at: float
    what: str
    victim: int = 0
    how: str = "all"

    def __str__(self) -> str:
        details = f" {self.victim} ({self.how})" if self.what.startswith("kill") else ""
        return f"{self.at:5.1f} s {self.what}{details}"


def draw_schedule(
    seed: int, *, seconds: float, kinds: Sequence[str], every: float, troubles: Sequence[str]
) -> list[Incident]:
    """A kill about every `every` seconds, of each kind in turn; the troubles in this order, spread over the time.

    The last trouble is at the end, some time after the last kill: what it breaks must heal without a restart.
    """
    drawn = random.Random(seed)
    ways = cycle(drawn.sample(WAYS, len(WAYS)))
    incidents: list[Incident] = []
    at = drawn.uniform(0, every)
    for kind in cycle(drawn.sample(kinds, len(kinds))):
        if at > seconds * KILLING:
            break
        how = next(ways) if kind == "worker" else "all"
        incidents.append(Incident(at, f"kill {kind}", drawn.randrange(1_000), how))
        at += drawn.uniform(0.5, 1.5) * every
    *spread, last = troubles
    share = seconds * KILLING / (len(spread) + 1)
    incidents.extend(Incident(share * (n + drawn.uniform(-0.3, 0.3)), what) for n, what in enumerate(spread, 1))
    return [*sorted(incidents, key=lambda incident: incident.at), Incident(seconds, last)]


@dataclass
class Storm:
    """Causes the incidents. Kills continue while a trouble of the servers lasts."""

    supervisor: Supervisor
    troubles: dict[str, Callable[[], int | None]]
    """Troubles by name. One that returns a number deleted that many broker messages."""
    happened: Counter[str] = field(default_factory=Counter)
    ways: Counter[str] = field(default_factory=Counter)
    thrown_away: int = 0

    def run(self, incidents: Sequence[Incident], *, seconds: float) -> None:
        """Cause each incident at its time; returns when all are over and every server runs again."""
        began = time.monotonic()
        never = threading.Event()
        with ThreadPoolExecutor(max_workers=1) as servers:
            pending: list[Future[None]] = []
            for incident in incidents:
                never.wait(max(0.0, began + incident.at - time.monotonic()))
                if incident.what in self.troubles:
                    pending.append(servers.submit(self._trouble, incident.what))
                else:
                    self._kill(incident)
            never.wait(max(0.0, began + seconds - time.monotonic()))
            for each in pending:
                each.result()

    def _trouble(self, what: str) -> None:
        self.thrown_away += self.troubles[what]() or 0
        self.happened[what] += 1

    def _kill(self, incident: Incident) -> None:
        kind = incident.what.removeprefix("kill ")
        for slot in self._candidates(kind, incident.victim):
            if done := self.supervisor.kill(slot, how=incident.how):
                self.happened[incident.what] += 1
                self.ways[done] += 1
                return

    def _candidates(self, kind: str, first: int) -> Iterator[Slot]:
        slots = self.supervisor.of(kind)
        return (slots[(first + n) % len(slots)] for n in range(len(slots)))
