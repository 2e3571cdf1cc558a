"""A real Chromium without a window, driven over the DevTools protocol by a pipe: no driver, no port, no dependency.

https://chromedevtools.github.io/devtools-protocol/
"""

import fcntl
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pangaea.testing import wait_until
from pangaea.testing.availability import unavailable

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
ANSWER_SECONDS = 60.0
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--no-first-run",
    "--no-proxy-server",
    "--remote-debugging-pipe",
)


@dataclass
class Browser:
    """One page of a browser. Times out with AssertionError where the browser does not answer."""

    commands: int
    """The file descriptors from which the browser reads commands, and (below) to which it writes answers."""
    answers: int
    session: str = ""
    events: list[dict[str, Any]] = field(default_factory=list)
    _buffer: bytes = b""
    _last_id: int = 0

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send one command and return its result."""
        self._last_id += 1
        message = {"id": self._last_id, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.commands, json.dumps(message).encode() + b"\0")
        while (answer := self._receive()).get("id") != self._last_id:
            self.events.append(answer)
        assert "error" not in answer, (method, answer["error"])
        result: dict[str, Any] = answer["result"]
        return result

    def open(self, url: str) -> None:
        """Load a page, to the end."""
        self.events.clear()
        failure = self.call("Page.navigate", url=url).get("errorText")
        assert not failure, f"{url}: {failure}"
        self.wait_loaded()

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression; that of a promise once it is settled."""
        done = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def follow(self, expression: str) -> None:
        """Evaluate an expression that leads to another page, and wait until that is loaded."""
        self.events.clear()
        self.evaluate(expression)
        self.wait_loaded()

    def wait_loaded(self) -> None:
        """Wait for the end of the navigation that has begun."""
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self.events.append(self._receive())

    def wait_for(self, expression: str) -> Any:
        """Wait until a JavaScript expression is true; its value."""
        return wait_until(lambda: self.evaluate(expression), what=f"{expression} in the page", seconds=ANSWER_SECONDS)

    @property
    def complaints(self) -> list[str]:
        """The console's messages since the page was opened: refusals by its Content-Security-Policy, and exceptions."""
        self.evaluate("0")  # reports from before this answer have arrived with it
        logged = [event["params"]["entry"] for event in self.events if event["method"] == "Log.entryAdded"]
        thrown = [event["params"] for event in self.events if event["method"] == "Runtime.exceptionThrown"]
        return [
            *(each["text"] for each in logged if "Content Security Policy" in each["text"]),
            *(json.dumps(each["exceptionDetails"]) for each in thrown),
        ]

    def _receive(self) -> dict[str, Any]:
        limit = time.monotonic() + ANSWER_SECONDS
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self.answers], [], [], max(0.0, limit - time.monotonic()))
            assert ready, "the browser does not answer"
            part = os.read(self.answers, 1 << 16)
            assert part, "the browser has ended"
            self._buffer += part
        text, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        return message


@contextmanager
def browser(folder: Path, *, hosts: Mapping[str, str]) -> Iterator[Browser]:
    """A Chromium with its profile in this folder, which finds `hosts` at these addresses.

    Without an installed Chromium the test is skipped, in CI it fails.
    """
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        unavailable("Chromium", f"none of {', '.join(PROGRAMS)} is on PATH", remedy="install the package `chromium`")
    rules = ", ".join(f"MAP {name} {address}" for name, address in hosts.items())
    command = [program, *FLAGS, f"--user-data-dir={folder}", f"--host-resolver-rules={rules}", "about:blank"]
    (reads, commands), (answers, writes) = os.pipe(), os.pipe()
    # The browser's ends are 3 and 4. The shell's are above those, so that it can move them in any order.
    theirs = [fcntl.fcntl(each, fcntl.F_DUPFD, 10) for each in (reads, writes)]
    script = f'exec "$@" 3<&{theirs[0]} 4>&{theirs[1]}'
    process = subprocess.Popen(
        ["bash", "-c", script, "bash", *command],
        pass_fds=theirs,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    for each in (reads, writes, *theirs):
        os.close(each)
    try:
        page = Browser(commands, answers)
        target = page.call("Target.createTarget", url="about:blank")["targetId"]
        page.session = page.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            page.call(f"{domain}.enable")
        yield page
    finally:
        # It ends because its end of the pipe is closed.
        os.close(commands)
        os.close(answers)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=10)
        process.kill()
        process.wait(timeout=10)
