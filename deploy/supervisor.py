"""Programs that are started again when they end, each with a log and a file with its process id.

A program that ends is no end of the others. It is started again at once when it was asked to end (SIGTERM), which is
how a developer restarts it, and after a growing pause when it fails; its last lines are shown. ADR 0042 compares
libraries.
"""

import os
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from deploy.steps import Steps
from pangaea.backoff import Backoff

BACKOFF = Backoff(first=1.0, longest=10.0)
STEADY_AFTER = 10.0
"""Seconds after which a program counts as started: a later end is its first failure."""
STOP_TIMEOUT = 6.0
"""Seconds from SIGTERM to SIGKILL."""
REPORT_INTERVAL = 2.0
"""Seconds between two lines that name the programs that have not ended."""
LINES_SHOWN = 12


@dataclass(frozen=True)
class Program:
    """A process of the deployment: its command, and its settings beside the machine's environment."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]


class Supervisor:
    """Runs programs in `folder`, as processes of sessions of their own: Ctrl-C reaches this process alone."""

    def __init__(
        self,
        programs: Sequence[Program],
        *,
        folder: Path,
        cwd: Path,
        steps: Steps,
        stop_timeout: float = STOP_TIMEOUT,
    ) -> None:
        self._steps = steps
        self._stop_timeout = stop_timeout
        self._stopping = threading.Event()
        self._watched = [_Watched(each, folder, cwd, steps, self._stopping) for each in programs]

    @property
    def pids(self) -> dict[str, int]:
        """The process id of each running program."""
        return {each.program.name: each.pid for each in self._watched if each.pid is not None}

    def start(self) -> None:
        """Start all of them."""
        for each in self._watched:
            each.thread.start()

    def stop(self) -> None:
        """End all of them: SIGTERM, and SIGKILL after `stop_timeout` or on a KeyboardInterrupt meanwhile."""
        with suppress(KeyboardInterrupt):
            self._stopping.set()
            self._terminate()
        if names := self._alive():
            self._steps(f"killing {', '.join(names)}")
        for each in self._watched:
            # A killed web process leaves its workers behind, in its session.
            each.signal(signal.SIGKILL)
        for each in self._watched:
            if each.thread.is_alive():
                each.thread.join(timeout=STOP_TIMEOUT)

    def _terminate(self) -> None:
        """Signal all, and return when they have ended or the time for it has."""
        running = [each for each in self._watched if each.signal(signal.SIGTERM)]
        self._steps(f"ending {len(running)} processes; Ctrl-C again kills them")
        reported = time.monotonic()
        deadline = reported + self._stop_timeout
        while (names := self._alive()) and time.monotonic() < deadline:
            time.sleep(0.05)
            if time.monotonic() - reported > REPORT_INTERVAL:
                reported = time.monotonic()
                self._steps(f"waiting for {', '.join(names)}")

    def _alive(self) -> list[str]:
        return [each.program.name for each in self._watched if each.thread.is_alive()]


class _Watched:
    """One program, and the thread that starts it again."""

    def __init__(self, program: Program, folder: Path, cwd: Path, steps: Steps, stopping: threading.Event) -> None:
        self.program = program
        self.thread = threading.Thread(target=self._keep, name=program.name, daemon=True)
        self._cwd, self._steps, self._stopping = cwd, steps, stopping
        self._log = log_of(folder, program.name)
        self._pid_file = pid_file_of(folder, program.name)
        for file in (self._log, self._pid_file):
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._log.write_bytes(b"")
        # Held while a process is started, so that none is started once all are ended.
        self._starting = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        process = self._process
        return process.pid if process and process.poll() is None else None

    def signal(self, number: signal.Signals) -> bool:
        """Signal the process, SIGKILL to its whole session. False if there is none."""
        with self._starting:
            process = self._process
            if process is None:
                return False
            with suppress(ProcessLookupError):
                if number == signal.SIGKILL:
                    os.killpg(process.pid, number)
                    return True
            if process.poll() is None:
                process.send_signal(number)
                return True
            return False

    def _keep(self) -> None:
        ends = failures = 0
        while process := self._start(again=ends):
            began = time.monotonic()
            status = process.wait()
            self._pid_file.unlink(missing_ok=True)
            if self._stopping.is_set():
                return
            if time.monotonic() - began > STEADY_AFTER:
                ends = failures = 0
            asked = status in {0, -signal.SIGTERM}
            ends += 1
            failures = 0 if asked else failures + 1
            pause = 0.0 if asked and ends == 1 else BACKOFF.steady(failures or ends)
            self._report(status, asked=asked, failures=failures, pause=pause)
            if self._stopping.wait(pause):
                return

    def _start(self, *, again: int) -> "subprocess.Popen[bytes] | None":
        with self._starting:
            if self._stopping.is_set():
                return None
            with self._log.open("ab") as output:
                self._process = subprocess.Popen(  # noqa: S603 - the project's own programs
                    self.program.command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    cwd=self._cwd,
                    env={**os.environ, "PYTHONUNBUFFERED": "1", **self.program.environment},
                    start_new_session=True,
                )
            self._pid_file.write_text(f"{self._process.pid}\n")
            if again:
                self._steps(f"{self.program.name} is started again, as process {self._process.pid}")
            return self._process

    def _report(self, status: int, *, asked: bool, failures: int, pause: float) -> None:
        name, after = self.program.name, f"; started again in {pause:g} s" if pause else ""
        if asked:
            self._steps(f"{name} ended{after}")
            return
        how = f"was ended by {signal.Signals(-status).name}" if status < 0 else f"failed with exit status {status}"
        if failures > 1:
            self._steps(f"{name} {how}, {failures} times in a row{after}")
        else:
            self._steps(f"{name} {how}{after}. The end of {self._log}:", lines=last_lines(self._log))


def log_of(folder: Path, name: str) -> Path:
    """The file with a program's output."""
    return folder / "logs" / f"{name}.log"


def pid_file_of(folder: Path, name: str) -> Path:
    """The file with the id of a program's process, while it runs."""
    return folder / "pids" / name


def last_lines(file: Path) -> list[str]:
    """The end of a log."""
    with file.open(encoding="utf-8", errors="replace") as lines:
        return [line.rstrip() for line in deque(lines, maxlen=LINES_SHOWN)]
