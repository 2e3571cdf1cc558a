"""The landscape's processes, and the crew that restarts those that ended."""

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
LOOK_SECONDS = 0.05
ORPHAN_SECONDS = 90.0
STARTING_SECONDS = 120.0

Command = Callable[[], Sequence[str] | None]
"""Returns the arguments of manage.py for a post's next process; None when its work is done."""


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
class Post:
    """A process that has to run: the first, or the one that replaced it."""

    kind: str
    name: str
    command: Command
    process: Process | None = None
    done: bool = False

    @property
    def running(self) -> bool:
        """Whether a process is at work."""
        return self.process is not None and self.process.running


@dataclass
class Crew:
    """Posts, and a thread that restarts each whose process ended before its work was done."""

    space: Workspace
    settings: Mapping[str, str]
    posts: list[Post] = field(default_factory=list)
    ended: Counter[str] = field(default_factory=Counter)
    """How many ended unasked, by kind."""
    orphans: list[int] = field(default_factory=list)
    """Process groups whose leader was killed alone."""
    _guard: threading.RLock = field(default_factory=threading.RLock)
    _closed: threading.Event = field(default_factory=threading.Event)

    def post(self, kind: str, command: Command, *, count: int = 1) -> None:
        """Add posts of a kind."""
        for _ in range(count):
            number = sum(each.kind == kind for each in self.posts)
            self.posts.append(Post(kind, f"{kind}-{number}", command))

    def of(self, kind: str) -> list[Post]:
        """The posts of a kind."""
        return [post for post in self.posts if post.kind == kind]

    @contextmanager
    def on_duty(self) -> Iterator[None]:
        """Keep a process running for every post until the end of the block; then stop all."""
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

    def kill(self, post: Post, *, how: str) -> str | None:
        """Send SIGKILL to a process and its children; with `child` or `parent` to that one only, if there are both.

        Gives what was done, None if there was no process.
        """
        with self._guard:
            process = post.process
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
            self._man(post)
            return how if children else "all"

    def change(self, settings: Mapping[str, str]) -> None:
        """Restart relays and workers with other settings, one after the other, as a deployment does."""
        self.settings = settings
        for post in (*self.of("relay"), *self.of("worker")):
            with self._guard:
                if post.process is not None and post.process in self.space.processes:
                    post.process.stop()
                    self.space.processes.remove(post.process)
                self._man(post)

    def wait_done(self, kind: str, *, seconds: float) -> None:
        """Wait until the work of these posts is done."""
        posts = self.of(kind)
        wait_until(lambda: all(post.done for post in posts), what=f"every {kind} to finish", seconds=seconds)

    def wait_orphans(self) -> None:
        """Wait until the children of killed parents have ended."""
        wait_until(lambda: not self.orphans, what="the children of killed parents to end", seconds=ORPHAN_SECONDS)

    def _watch(self) -> None:
        while not self._closed.wait(LOOK_SECONDS):
            with self._guard:
                # Soon after it ended: a process id that is free is given to another process some day.
                self.orphans = [group for group in self.orphans if _group_exists(group)]
                for post in self.posts:
                    self._look_after(post)

    def _look_after(self, post: Post) -> None:
        if post.done or post.running:
            return
        if post.process is not None:
            if post.kind != "writer" or post.process.popen.returncode:
                self.ended[post.kind] += 1
            post.process.stop()
            self.space.processes.remove(post.process)
        self._man(post)

    def _man(self, post: Post) -> None:
        post.process = None
        try:
            command = post.command()
        except psycopg.OperationalError:  # the database restarts; the next look asks again
            return
        if command is None:
            post.done = True
        else:
            post.process = self.space.start(post.name, (*MANAGE, *command), self.settings)


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
