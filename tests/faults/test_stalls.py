"""What could stop a worker while every probe passes: acknowledgements, retries, handlers that hang."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest
import redis

from pangaea.servers import valkey
from pangaea.servers.waiting import free_port
from pangaea.testing import wait_until
from tests.faults import proxy
from tests.faults.landscape import HEALING_SECONDS, Landscape, landscape

PREFETCH = 4
BAD = "key-261"

QUICK_RETRIES = {"DEAD_LETTER_POLL": "0.1", "DEAD_LETTER_PAUSE": "0.1", "DEAD_LETTER_PAUSE_AT_MOST": "0.1"}
SHORT_LIMITS = {
    "DATABASE_LOCK_TIMEOUT": "1",
    "DATABASE_STATEMENT_TIMEOUT": "1.5",
    "TRANSIENT_RETRY": "1.5",
    "JOB_TIME_LIMIT": "2",
}

pytestmark = pytest.mark.full


@pytest.fixture(params=["rabbitmq", "redis"])
def broker_url(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue("amqp_url" if request.param == "rabbitmq" else "redis_url")
    return url


@contextmanager
def cursors_locked(land: Landscape) -> Iterator[None]:
    """Keep the ledger from applying anything."""
    with psycopg.connect(land.database_url) as connection:
        connection.execute("SELECT * FROM ledger.pangaea_cursor FOR UPDATE")
        yield


class TestAcknowledgementsThatFail:
    def test_do_not_use_up_the_prefetch(self, postgres_url: str, tmp_path: Path) -> None:
        port = free_port()
        with ExitStack() as first, ExitStack() as stack:
            url = first.enter_context(valkey.server(port))
            land = stack.enter_context(landscape(tmp_path, postgres_url=postgres_url, broker_url=url, RELAY_BATCH="1"))
            land.relay()
            worker = land.worker()
            land.publish(50, seed=1)
            land.wait_written(50)

            with cursors_locked(land):
                land.publish(50, seed=2)
                with redis.Redis(port=port) as client:
                    wait_until(lambda: client.hlen("unacked") == PREFETCH, what="the prefetch to be filled")
                first.close()
            land.wait_state("worker", "queues", "interrupted")
            stack.enter_context(valkey.server(port))
            land.wait_written(100)
            assert worker.running


class TestRetries:
    def test_go_on_after_the_brokers_connection_was_lost(
        self, broker_url: str, postgres_url: str, tmp_path: Path
    ) -> None:
        # No announcements, which would use up the prefetch: on Redis the worker would then read nothing more.
        settings = {**QUICK_RETRIES, "DEAD_LETTER_ATTEMPTS": "1000", "LANDSCAPE_POISON_KEY": BAD}
        settings |= {"ANNOUNCE_FIRST": "60", "ANNOUNCE_AT_MOST": "60"}
        with ExitStack() as stack:
            between, url = stack.enter_context(proxy.before(broker_url, 5672))
            land = stack.enter_context(landscape(tmp_path, postgres_url=postgres_url, broker_url=url, **settings))
            land.relay()
            land.worker()
            attempts = "SELECT max(attempts) FROM ledger.pangaea_dead_letter"
            land.publish(600, seed=1)
            wait_until(lambda: land.number(attempts) > 1, what="a retry", seconds=HEALING_SECONDS)

            with cursors_locked(land):
                land.publish(2, seed=2)
                waits_until = time.monotonic() + 1
                wait_until(lambda: time.monotonic() > waits_until, what="a round to wait for its turn")
                assert land.components("worker"), "it does not answer"
                between.down()
                land.wait_state("worker", "queues", "interrupted")
                between.up()
                land.wait_state("worker", "queues", "consuming")
            before = land.number(attempts)
            wait_until(lambda: land.number(attempts) > before + 3, what="more retries", seconds=HEALING_SECONDS)


class TestAHandlerThatHangs:
    def test_costs_its_key_and_nothing_else(self, broker_url: str, postgres_url: str, tmp_path: Path) -> None:
        settings = {
            **QUICK_RETRIES,
            "LANDSCAPE_HANGING_KEY": BAD,
            **SHORT_LIMITS,
            "CATCH_UP_RENEWAL": "1",
            "CRASHES_AT_MOST": "1",
        }
        with landscape(tmp_path, postgres_url=postgres_url, broker_url=broker_url, **settings) as land:
            land.relay()
            worker = land.worker()
            land.publish(600, seed=1)
            applicable = land.number("SELECT count(*) FROM source.pangaea_outbox WHERE key <> 'key-261'")
            assert 0 < applicable < 600

            land.wait_written(applicable)
            letters = "SELECT key, state, crashes, error FROM ledger.pangaea_dead_letter ORDER BY position"
            wait_until(lambda: land.query(letters)[0][1] == "dead", what="no more retries", seconds=HEALING_SECONDS)
            (key, _, crashes, error), *others = land.query(letters)
            assert (key, crashes) == (BAD, 2)
            assert "2 times" in error
            assert {(key, state) for key, state, *_ in others} <= {(BAD, "behind")}
            assert worker.log.read_text().count("hanging job killed") == 3
            land.publish(100, seed=2)
            wait_until(lambda: land.behind() == 0, what="the others to be applied", seconds=HEALING_SECONDS)
            assert worker.running


class TestAJobThatIsSlow:
    def test_makes_its_worker_not_ready_and_is_not_ended(
        self, redis_url: str, postgres_url: str, tmp_path: Path
    ) -> None:
        settings = {
            "PANGAEA_MODULES": "source,singles",
            "LANDSCAPE_PAUSE": "0.2",
            **SHORT_LIMITS,
        }
        with landscape(tmp_path, postgres_url=postgres_url, broker_url=redis_url, **settings) as land:
            land.relay()
            worker = land.worker()
            land.publish(100, seed=1)
            land.wait_state("worker", "queues", "overdue")
            assert land.is_ready("worker") is False
            counted = "SELECT sum(count) FROM singles.singles_balance"
            wait_until(lambda: land.number(counted) == 100, what="all to be counted", seconds=HEALING_SECONDS)
            land.wait_state("worker", "queues", "consuming")
            assert land.is_ready("worker")
            assert "hanging job killed" not in worker.log.read_text()
