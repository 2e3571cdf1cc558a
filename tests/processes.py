"""The project's processes, as tests start them: with an explicit environment, one log per process, and no survivors."""

import os
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from pangaea.testing import wait_until

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 60.0
STOP_SECONDS = 15.0
COMMAND_SECONDS = 120.0
LOG_TAIL = 6_000
MANAGE = (sys.executable, str(ROOT / "manage.py"))
INHERITED = ("PATH", "HOME", "TMPDIR", "LANG", "COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG")
"""The variables that a process gets from the test's own environment; settings are the deployment's."""


@dataclass
class Process:
    """A program of a deployment, in its own process group."""

    name: str
    log: Path
    command: "tuple[str | Path, ...]"
    environment: Mapping[str, str]
    popen: "subprocess.Popen[bytes]" = field(init=False)

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Start it, or start it again after a stop with the same command, environment and log."""
        with self.log.open("ab") as output:
            self.popen = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
                env=explicit(self.environment),
                start_new_session=True,
            )

    @property
    def tail(self) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-LOG_TAIL:]

    def wait_logged(self, text: str, *, since: int = 0) -> None:
        """Wait until its log contains this text, after the first `since` bytes."""

        def there() -> bool:
            self.check()
            return text.encode() in self.log.read_bytes()[since:]

        wait_until(there, what=f"{self.name} to write {text!r}", seconds=START_SECONDS)

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return self.popen.poll() is None

    def check(self) -> None:
        """Raise AssertionError, with the end of the log, if it ended."""
        if not self.running:
            raise AssertionError(f"{self.name} ended with {self.popen.returncode}:\n{self.tail}")

    def kill(self) -> None:
        """Send SIGKILL to the whole group, as if the machine lost power."""
        os.killpg(self.popen.pid, signal.SIGKILL)
        self.popen.wait(timeout=STOP_SECONDS)

    def stop(self) -> None:
        """Send SIGTERM, and SIGKILL to the remaining processes of the group."""
        self.popen.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.popen.wait(timeout=STOP_SECONDS)
        with suppress(ProcessLookupError):
            os.killpg(self.popen.pid, signal.SIGKILL)
        self.popen.wait(timeout=STOP_SECONDS)


@dataclass
class Workspace:
    """A folder for the files of one deployment, and the processes started in it, in the order of starting."""

    folder: Path
    processes: list[Process] = field(default_factory=list)
    trust: ssl.SSLContext | bool = True
    """The TLS context for requests that ask whether a process is ready."""

    def start(self, name: str, command: "tuple[str | Path, ...]", environment: Mapping[str, str]) -> Process:
        """Start a program in the background. A second one of that name has a log of its own."""
        earlier = sum(each.name == name for each in self.processes)
        log = self.folder / (f"{name}-{earlier + 1}.log" if earlier else f"{name}.log")
        process = Process(name=name, log=log, command=command, environment=environment)
        self.processes.append(process)
        return process

    def manage(self, *arguments: str, environment: Mapping[str, str]) -> str:
        """Run a command of manage.py to its end; returns its output. Raises AssertionError if it fails."""
        done = subprocess.run(
            [*MANAGE, *arguments],
            check=False,
            capture_output=True,
            text=True,
            cwd=ROOT,
            env=explicit(environment),
            timeout=COMMAND_SECONDS,
        )
        if done.returncode:
            raise AssertionError(
                f"manage.py {' '.join(arguments)} ended with {done.returncode}:\n{done.stderr[-LOG_TAIL:]}"
            )
        return done.stdout

    def stop(self) -> None:
        """Stop all processes: all are signalled first, and then each gets its time to end."""
        for process in self.processes:
            process.popen.terminate()
        for process in self.processes:
            process.stop()

    def wait_ready(self, url: str, *, process: Process) -> None:
        """Wait until `url` answers 200; fails at once if the process ends."""
        answer = "no answer"

        def ready() -> bool:
            nonlocal answer
            process.check()
            try:
                response = httpx.get(url, timeout=5, trust_env=False, verify=self.trust)
            except httpx.TransportError as error:
                answer = repr(error)
                return False
            answer = f"{response.status_code} {response.text[:500]}"
            return response.status_code == httpx.codes.OK

        try:
            wait_until(ready, what=f"{process.name} to be ready at {url}", seconds=START_SECONDS)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{answer}\n{process.tail}") from None


@contextmanager
def workspace(folder: Path, *, trust: ssl.SSLContext | bool = True) -> Iterator[Workspace]:
    """Hold a workspace; at the end of the block every process started in it is stopped."""
    space = Workspace(folder, trust=trust)
    try:
        yield space
    finally:
        space.stop()


def explicit(environment: Mapping[str, str]) -> dict[str, str]:
    """The whole environment of a process: the variables that every program needs, and these settings."""
    return {
        **{name: os.environ[name] for name in INHERITED if name in os.environ},
        "PYTHONPATH": f"{ROOT / 'platform'}{os.pathsep}{ROOT}",
        "PYTHONUNBUFFERED": "1",
        **environment,
    }
