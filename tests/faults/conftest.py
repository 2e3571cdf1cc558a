"""A deployment on PostgreSQL and RabbitMQ whose processes a test starts, kills and restarts."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pytest
from joserfc.jwk import ECKey
from kombu.connection import Connection

from pangaea.testing.databases import scratch_database
from tests.acceptance.shop import Customer, Shop
from tests.acceptance.topologies import ProcessSet, monolith_environment
from tests.processes import Workspace, workspace


@dataclass(frozen=True)
class Installation:
    """A migrated and seeded monolith with its web process running; a test starts relay and worker."""

    processes: ProcessSet
    url: str

    @property
    def workspace(self) -> Workspace:
        """The folder of the logs, and the processes."""
        return self.processes.space

    def query(self, statement: LiteralString, *values: str) -> list[tuple[Any, ...]]:
        """Rows of the database, as its owner sees them."""
        with psycopg.connect(self.processes.environment["DATABASE_URL"], autocommit=True) as connection:
            return connection.execute(statement, values).fetchall()

    def waiting_in(self, queue: str) -> int:
        """The number of messages in a queue."""
        with self._broker() as broker:
            count: int = broker.default_channel.queue_declare(self._named(queue), passive=True).message_count
            return count

    def purge(self, queue: str) -> int:
        """Empty a queue; returns how many messages it held."""
        with self._broker() as broker:
            count: int = broker.default_channel.queue_purge(self._named(queue))
            return count

    def _broker(self) -> Any:
        connection: Any = Connection  # kombu has no types
        return connection(self.processes.environment["BROKER_URL"])

    def _named(self, queue: str) -> str:
        return self.processes.environment["BROKER_PREFIX"] + queue


@pytest.fixture(scope="session")
def prepared(postgres_url: str, amqp_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """The installation that the tests of this folder share."""
    folder: Path = tmp_path_factory.mktemp("faults")
    with scratch_database(postgres_url, prefix="pangaea_faults") as database_url, workspace(folder) as space:
        key = ECKey.generate_key("P-256")
        environment = monolith_environment(database_url=database_url, broker_url=amqp_url, signing_key=key)
        processes = ProcessSet("all", space, environment)
        processes.prepare(seed=True)
        yield Installation(processes, processes.web())


@pytest.fixture
def installation(prepared: Installation) -> Iterator[Installation]:
    """The installation; the processes that a test starts in it end with the test."""
    running = list(prepared.workspace.processes)
    yield prepared
    for process in prepared.workspace.processes:
        if process not in running:
            process.stop()


@pytest.fixture
def customer(installation: Installation) -> Iterator[Customer]:
    """A customer who is registered and logged in, and of whom the BFF may have no copy yet."""
    with Shop(installation.url) as shop, Customer.register(shop, full_name="Grace Hopper") as grace:
        yield grace
