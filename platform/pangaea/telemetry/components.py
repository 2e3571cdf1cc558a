"""The components of a relay or worker, and the state that each reports, which the probes show."""

import time
from datetime import UTC, datetime
from enum import Enum

REPORT_TIMEOUT = 60.0
"""Seconds without a report after which a component counts as hanging: longer than any wait that has its own limit."""
LEAD_TIMEOUT = 10.0
"""Seconds without a report after which a relay is no longer shown as leading: its session may have ended, so another
relay may lead."""


class State(Enum):
    """The state of a component. `is_ready`: the component does its work, or another process does it."""

    STARTING = "starting"
    LEADING = "leading"
    STANDING_BY = "standing by"
    CONSUMING = "consuming"
    OVERDUE = "overdue"
    INTERRUPTED = "interrupted"

    @property
    def is_ready(self) -> bool:
        return self not in {State.STARTING, State.OVERDUE, State.INTERRUPTED}


class Component:
    """One component of a process: a module's relay, or the consumer of a worker's queues. Thread-safe."""

    def __init__(self, name: str) -> None:
        self.name = name
        # Replaced as a whole, so that a reader never sees parts of two reports.
        self._last = (State.STARTING, "", time.time())
        self._reported_at = time.monotonic()

    @property
    def state(self) -> State:
        return self._current()[0]

    @property
    def is_alive(self) -> bool:
        """Whether it has reported within REPORT_TIMEOUT."""
        return time.monotonic() - self._reported_at < REPORT_TIMEOUT

    def report(self, state: State, reason: str = "") -> float | None:
        """Record that the component runs, and in which state. Each report shows that it is alive.

        The reason and the time that are shown are those of the last change of state. Returns the seconds spent in the
        former state if the state changed, else None.
        """
        before, _, since = self._last
        self._reported_at = time.monotonic()
        if state is before:
            return None
        self._last = (state, reason, time.time())
        return time.time() - since

    def as_dict(self) -> dict[str, str]:
        """For a probe's document: the state, its beginning (RFC 3339), and its reason, empty for a healthy state."""
        state, reason, since = self._current()
        return {"state": state.value, "since": datetime.fromtimestamp(since, UTC).isoformat(), "reason": reason}

    def _current(self) -> tuple[State, str, float]:
        state, reason, since = self._last
        silent_for = time.monotonic() - self._reported_at
        if state is State.LEADING and silent_for > LEAD_TIMEOUT:
            return State.INTERRUPTED, f"no pass has ended for {silent_for:.0f} s", time.time() - silent_for
        return state, reason, since
