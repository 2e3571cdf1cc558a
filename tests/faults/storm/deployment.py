"""The landscape's processes, and the supervisor that restarts them."""

import os
import signal
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import psycopg
from joserfc.jwk import ECKey

from pangaea.testing import wait_until
from tests.acceptance.topologies import monolith_environment
from tests.processes import MANAGE, Process, Workspace

MODULES = ("source", "ledger")
QUEUES = tuple(f"{module}.inbox.{queue}" for module in MODULES for queue in ("0of1", "0of2", "1of2"))
CHECK_INTERVAL = 0.05
ORPHAN_SECONDS = 90.0
STARTING_SECONDS = 120.0

Command = Callable[[], Sequence[str] | None]
"""Returns the arguments of manage.py for a slot's next process; None when its work is done."""


def environment(*, database_url: str, broker_url: str, prefix: str = "") -> dict[str, str]:
    """The settings of a deployment of the landscape; all others have their defaults, as in production."""
    key = ECKey.generate_key("P-256")
    return {
        **monolith_environment(database_url=database_url, broker_url=broker_url, signing_key=key),
        "PANGAEA_MODULES_PACKAGE": "tests.landscape",
        "PANGAEA_MODULES": ",".join(MODULES),
        "BROKER_PREFIX": prefix,
    }


@dataclass
class Slot:
    """The place of a process that has to run, and the process in it: the first, or the one that replaced it."""

    kind: str
    name: str
    command: Command
    process: Process | None = None
    done: bool = False

    @property
    def running(self) -> bool:
        """Whether its process runs."""
        return self.process is not None and self.process.running


@dataclass
class Supervisor:
    """Slots, and a thread that starts a slot's process again if it ended before its work was done."""

    space: Workspace
    settings: Mapping[str, str]
    slots: list[Slot] = field(default_factory=list)
    ended: Counter[str] = field(default_factory=Counter)
    """How many processes ended without a kill, by kind."""
    orphans: list[int] = field(default_factory=list)
    """Process groups whose leader was killed alone."""
    _guard: threading.RLock = field(default_factory=threading.RLock)
    _closed: threading.Event = field(default_factory=threading.Event)

    def add(self, kind: str, command: Command, *, count: int = 1) -> None:
        """Add slots of a kind."""
        for _ in range(count):
            number = sum(each.kind == kind for each in self.slots)
            self.slots.append(Slot(kind, f"{kind}-{number}", command))

    def of(self, kind: str) -> list[Slot]:
        """The slots of a kind."""
        return [slot for slot in self.slots if slot.kind == kind]

    @contextmanager
    def supervising(self) -> Iterator[None]:
        """Keep a process running in every slot until the end of the block; then stop all."""
        with ThreadPoolExecutor(max_workers=1) as pool:
            watch = pool.submit(self._watch)
            try:
                yield
            finally:
                self._closed.set()
                watch.result()
                self.space.stop()
                for group in self.orphans:
                    os.killpg(group, signal.SIGKILL)

    def kill(self, slot: Slot, *, how: str) -> str | None:
        """Send SIGKILL to a process and its children; with `child` or `parent` to that one only, if there are both.

        Returns which of them were killed; None if no process ran.
        """
        with self._guard:
            process = slot.process
            if process is None or not process.running:
                return None
            children = _children(process.popen.pid)
            if children and how == "child":
                with suppress(ProcessLookupError):  # it may have ended since
                    os.kill(children[0], signal.SIGKILL)
                return how
            if children and how == "parent":
                process.popen.kill()
                process.popen.wait()
                self.orphans.append(process.popen.pid)
            else:
                process.kill()
            self.space.processes.remove(process)
            self._start(slot)
            return how if children else "all"

    def change(self, settings: Mapping[str, str]) -> None:
        """Restart relays and workers with other settings, one after the other, as a deployment does."""
        self.settings = settings
        for slot in (*self.of("relay"), *self.of("worker")):
            with self._guard:
                if slot.process is not None and slot.process in self.space.processes:
                    slot.process.stop()
                    self.space.processes.remove(slot.process)
                self._start(slot)

    def wait_done(self, kind: str, *, seconds: float) -> None:
        """Wait until the work of these slots is done."""
        slots = self.of(kind)
        wait_until(lambda: all(slot.done for slot in slots), what=f"every {kind} to finish", seconds=seconds)

    def wait_orphans(self) -> None:
        """Wait until the children of killed parents have ended, without a kill."""
        wait_until(lambda: not self.orphans, what="the children of killed parents to end", seconds=ORPHAN_SECONDS)

    def _watch(self) -> None:
        while not self._closed.wait(CHECK_INTERVAL):
            with self._guard:
                # Soon after its end: the system may give a free process number to another program.
                self.orphans = [group for group in self.orphans if _group_exists(group)]
                for slot in self.slots:
                    self._check(slot)

    def _check(self, slot: Slot) -> None:
        if slot.done or slot.running:
            return
        if slot.process is not None:
            if slot.kind != "writer" or slot.process.popen.returncode:
                self.ended[slot.kind] += 1
            slot.process.stop()
            self.space.processes.remove(slot.process)
        self._start(slot)

    def _start(self, slot: Slot) -> None:
        slot.process = None
        try:
            command = slot.command()
        except psycopg.OperationalError:  # the database restarts; the next check asks again
            return
        if command is None:
            slot.done = True
        else:
            slot.process = self.space.start(slot.name, (*MANAGE, *command), self.settings)


def _children(parent: int) -> list[int]:
    listed = subprocess.run(["ps", "-A", "-o", "pid=", "-o", "ppid="], check=True, capture_output=True, text=True)
    pairs = (line.split() for line in listed.stdout.splitlines())
    return [int(pid) for pid, of in pairs if int(of) == parent]


def _group_exists(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
