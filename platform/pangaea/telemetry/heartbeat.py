"""What relays and workers are at, in a file that probes read: they answer no HTTP.

PANGAEA_HEARTBEAT_FILE holds one JSON object, written anew every second while every part of the process moves:

    {"process": "relay", "at": 1764000000.0, "ready": false,
     "parts": {"orders": {"state": "interrupted", "since": 1763999990.0, "reason": "...", "ready": false}}}

A file that grows old is a process that hangs: restart it. `ready` is false while a part cannot do its work, or while a
worker's batch takes longer than JOB_TIME_LIMIT ("overdue"); a restart does not help against a broker that is down. As
a probe, without Django, so that it costs little:

    python -m pangaea.telemetry.heartbeat /run/pangaea/heartbeat            # alive
    python -m pangaea.telemetry.heartbeat --ready /run/pangaea/heartbeat    # and at work
"""

import argparse
import json
import os
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import Any

STALE = 60.0
"""Seconds after which a part that has not moved counts as hanging: longer than any wait that has a limit of its own."""
LEAD_CONFIRMED = 10.0
"""Seconds after which a relay that gave no sign of life is not said to lead: its session has ended meanwhile, so that
another one may lead."""
MAX_AGE = 15.0
"""Seconds after which a probe calls a heartbeat old, unless it is told otherwise."""


class State(Enum):
    """What a part is at. `ready`: it does its work, or another one does it."""

    STARTING = "starting"
    LEADING = "leading"
    STANDING_BY = "standing by"
    CONSUMING = "consuming"
    OVERDUE = "overdue"
    INTERRUPTED = "interrupted"

    @property
    def ready(self) -> bool:
        return self not in {State.STARTING, State.OVERDUE, State.INTERRUPTED}


class Pulse:
    """One part of a process, and whether it moves. Thread-safe."""

    def __init__(self, part: str) -> None:
        self.part = part
        self._told = (State.STARTING, "", time.time())
        self._moved = time.monotonic()

    @property
    def state(self) -> State:
        return self._reported()[0]

    @property
    def moves(self) -> bool:
        """Whether it gave a sign of life lately."""
        return time.monotonic() - self._moved < STALE

    def beat(self, state: State, reason: str = "") -> float | None:
        """A sign of life. Gives the seconds spent in the former state if this is another one, else None."""
        before, _, since = self._told
        self._moved = time.monotonic()
        if state is before:
            return None
        self._told = (state, reason, time.time())
        return time.time() - since

    def _reported(self) -> tuple[State, str, float]:
        state, reason, since = self._told
        silence = time.monotonic() - self._moved
        if state is State.LEADING and silence > LEAD_CONFIRMED:
            return State.INTERRUPTED, f"no pass has ended for {silence:.0f} s", time.time() - silence
        return state, reason, since

    def as_dict(self) -> dict[str, Any]:
        state, reason, since = self._reported()
        return {"state": state.value, "since": since, "reason": reason, "ready": state.ready}


class Heartbeat:
    """The parts of a process, and the file that tells of them; an empty path tells nobody."""

    def __init__(self, process: str, path: str) -> None:
        self._process = process
        self._path = Path(path) if path else None
        self._pulses: list[Pulse] = []
        self._guard = threading.Lock()

    def add(self, pulse: Pulse) -> Pulse:
        """Tell of this part too."""
        with self._guard:
            self._pulses.append(pulse)
        return pulse

    @property
    def pulses(self) -> list[Pulse]:
        """The parts."""
        with self._guard:
            return list(self._pulses)

    def write(self) -> None:
        """Write the file, unless a part hangs. Whoever reads sees the old file or the new one, whole."""
        pulses = self.pulses
        if self._path is None or not all(pulse.moves for pulse in pulses):
            return
        told = {
            "process": self._process,
            "at": time.time(),
            "ready": all(pulse.state.ready for pulse in pulses),
            "parts": {pulse.part: pulse.as_dict() for pulse in pulses},
        }
        written = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        written.write_text(json.dumps(told))
        written.replace(self._path)

    def remove(self) -> None:
        """The process ends in order: no file is better than one that grows old."""
        if self._path is not None:
            with suppress(OSError):
                self._path.unlink(missing_ok=True)


def judge(path: Path, *, max_age: float, ready: bool) -> str:
    """Why the process behind that file is not alive (or not ready); empty if all is well."""
    try:
        told = json.loads(path.read_text())
        age = time.time() - told["at"]
    except (OSError, ValueError, KeyError) as error:
        return f"no heartbeat: {error}"
    if age > max_age:
        return f"the last heartbeat is {age:.0f} s old"
    if ready and not told["ready"]:
        parts = (f"{name} is {part['state']} {part['reason']}" for name, part in told["parts"].items())
        return f"not ready: {'; '.join(parts)}"
    return ""


def main(arguments: Sequence[str] | None = None) -> int:
    """The probe: 0 if all is well, else 1 and the reason."""
    parser = argparse.ArgumentParser(
        prog="python -m pangaea.telemetry.heartbeat", description="Probe a relay or a worker."
    )
    parser.add_argument("path", type=Path, nargs="?", default=Path(os.environ.get("PANGAEA_HEARTBEAT_FILE", "")))
    parser.add_argument("--ready", action="store_true", help="also ask whether it does its work")
    parser.add_argument("--max-age", type=float, default=MAX_AGE, help="seconds (default: %(default)s)")
    given = parser.parse_args(arguments)
    if given.path == Path():
        parser.error("name the file, or set PANGAEA_HEARTBEAT_FILE")
    wrong = judge(given.path, max_age=given.max_age, ready=given.ready)
    if wrong:
        sys.stderr.write(f"{wrong}\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
