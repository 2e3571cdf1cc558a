"""A database, or its host, that does not answer: no process waits for it longer than the settings allow."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import LiteralString

import psycopg
import pytest

from pangaea.testing import wait_until
from tests.faults import proxy
from tests.faults.landscape import HEALING_SECONDS, Landscape, landscape

pytestmark = pytest.mark.full

ENDLESS = "key-7"
OF_THE_KEY: LiteralString = "SELECT count(*) FROM source.pangaea_outbox WHERE key = 'key-7'"
PARKED: LiteralString = "SELECT count(*) FROM ledger.pangaea_dead_letter"


@pytest.fixture(scope="module")
def prepared(postgres_url: str, amqp_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Landscape]:
    folder = tmp_path_factory.mktemp("waits")
    with landscape(folder, postgres_url=postgres_url, broker_url=amqp_url) as held:
        yield held


@pytest.fixture
def land(prepared: Landscape) -> Iterator[Landscape]:
    """The landscape with empty logs; the processes that a test starts in it end with the test."""
    yield prepared
    prepared.workspace.stop()
    while prepared.workspace.processes:
        prepared.workspace.processes.pop().log.unlink()


@contextmanager
def locked(land: Landscape, table: str) -> Iterator[None]:
    """Hold a lock under which no other session can read the table."""
    with psycopg.connect(land.database_url) as connection:
        connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        yield


class TestAMigrationThatIsNotApplied:
    def test_holds_the_worker_until_it_is(self, land: Landscape) -> None:
        written = land.written()
        with psycopg.connect(land.database_url, autocommit=True) as connection:
            (row,) = connection.execute(
                "DELETE FROM ledger.django_migrations WHERE app = 'ledger' AND name = '0001_initial' RETURNING *"
            ).fetchall()
            land.relay()
            worker = land.worker()
            worker.wait_logged("migrations awaited")
            land.publish(100, seed=7)
            wait_until(lambda: land.is_ready("worker") is False, what="the worker to be not ready")
            assert land.written() == written
            connection.execute("INSERT INTO ledger.django_migrations VALUES (%s, %s, %s, %s)", row)
        land.wait_written(written + 100)
        assert land.number(PARKED) == 0


class TestALockThatIsHeld:
    def test_is_not_waited_for_without_end(self, land: Landscape) -> None:
        limits = {"DATABASE_LOCK_TIMEOUT": "0.3", "DATABASE_STATEMENT_TIMEOUT": "5", "TRANSIENT_RETRY": "60"}
        written = land.written()
        relay, worker = land.relay(**limits), land.worker(**limits)
        land.publish(100, seed=6)
        land.wait_written(written + 100)
        with locked(land, "ledger.ledger_entry"):
            land.publish(100, seed=2)
            worker.wait_logged("lock timeout")
        with locked(land, "source.pangaea_stream"):
            relay.wait_logged("lock timeout")
        land.wait_written(written + 200)


@pytest.mark.skipif(sys.platform != "linux", reason="no packet is dropped without Linux's socket filters")
class TestAHostThatVanishes:
    def test_is_given_up_by_the_worker_in_the_middle_of_its_work(self, land: Landscape) -> None:
        written = land.written()
        with ExitStack() as stack:
            between, url = stack.enter_context(proxy.before(land.database_url, 5432))
            land.relay()
            worker = land.worker(DATABASE_URL=url, DATABASE_ANSWER_TIMEOUT="2")
            land.publish(100, seed=3)
            land.wait_written(written + 100)
            between.vanish()
            land.publish(100, seed=4)
            land.wait_written(written + 200)
            # In any statement of the batch, which is then tried again as a whole, or in parts.
            worker.wait_logged("Connection timed out")
            worker.stop()


class TestAStatementThatDoesNotEnd:
    def test_costs_its_key_and_three_timeouts(self, land: Landscape) -> None:
        written = land.written()
        land.relay()
        land.worker(LANDSCAPE_ENDLESS_KEY=ENDLESS, DATABASE_STATEMENT_TIMEOUT="0.5", DATABASE_LOCK_TIMEOUT="0.5")
        before = land.number(OF_THE_KEY)
        land.publish(2000, seed=1)
        endless = land.number(OF_THE_KEY) - before
        wait_until(
            lambda: land.behind() == 0 and land.number(PARKED) == endless,
            what="all others to be applied",
            seconds=HEALING_SECONDS,
        )
        assert endless > 0
        assert land.written() == written + 2000 - endless
        assert land.number(f"{PARKED} WHERE error LIKE '%statement timeout%'") == 1
