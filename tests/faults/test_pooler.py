"""A pooler between the processes and their database: real processes, a real PgBouncer."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from pangaea.testing import wait_until
from pangaea.testing.databases import scratch_database
from tests.faults import pgbouncer
from tests.faults.landscape import HEALING_SECONDS, Landscape, landscape_in

pytestmark = pytest.mark.full

SENT = "SELECT sum(sent) FROM source.pangaea_stream"
SCHEMAS = ("source", "ledger")


@contextmanager
def held(folder: Path, mode: str, *, postgres_url: str, broker_url: str) -> Iterator[Landscape]:
    """A landscape whose modules reach their database through a pooler, and have direct URLs as well."""
    with (
        scratch_database(postgres_url, prefix="pangaea_pooler") as database_url,
        pgbouncer.before(database_url, SCHEMAS, folder=folder, mode=mode) as urls,
    ):
        settings = {f"{schema.upper()}_DATABASE_URL": urls[schema] for schema in SCHEMAS}
        settings |= {f"{schema.upper()}_DIRECT_DATABASE_URL": database_url for schema in SCHEMAS}
        with landscape_in(database_url, folder=folder, broker_url=broker_url, **settings) as land:
            yield land


@pytest.fixture(scope="module")
def land(postgres_url: str, amqp_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Landscape]:
    folder = tmp_path_factory.mktemp("pooler")
    with held(folder, "transaction", postgres_url=postgres_url, broker_url=amqp_url) as found:
        yield found


class TestBehindAPoolerOfTransactions:
    def test_the_lead_is_held_and_passed_on_over_the_direct_url(self, land: Landscape) -> None:
        leader = land.relay("-leader")
        land.wait_state("relay-leader", "source", "leading")
        standby = land.relay("-standby")
        land.wait_state("relay-standby", "source", "standing by")
        worker = land.worker("ledger")
        land.publish(50, seed=1)
        land.wait_written(50)
        leader.kill()
        land.wait_state("relay-standby", "source", "leading")
        assert land.writer(count=50, rate=100).popen.wait(HEALING_SECONDS) == 0
        land.wait_written(100)
        for process in (standby, worker):
            process.stop()

    def test_a_relay_without_a_direct_url_does_not_lead_and_names_the_setting(self, land: Landscape) -> None:
        relay = land.relay("-pooled", SOURCE_DIRECT_DATABASE_URL="")
        land.wait_state("relay-pooled", "source", "interrupted")
        assert "set SOURCE_DIRECT_DATABASE_URL" in land.components("relay-pooled")["source"]["reason"]
        assert land.is_ready("relay-pooled") is False
        relay.stop()


class TestBehindAPoolerOfSessions:
    def test_a_relay_leads_without_a_direct_url(self, postgres_url: str, amqp_url: str, tmp_path: Path) -> None:
        with held(tmp_path, "session", postgres_url=postgres_url, broker_url=amqp_url) as land:
            land.relay("-pooled", SOURCE_DIRECT_DATABASE_URL="")
            land.wait_state("relay-pooled", "source", "leading")
            land.publish(10, seed=1)
            wait_until(lambda: land.number(SENT) == 10, what="the relay to send", seconds=HEALING_SECONDS)


class TestBehindAPoolerThatDropsOptions:
    """It would put the tables of all modules into one schema."""

    def test_nothing_is_migrated_and_no_process_is_ready(
        self, postgres_url: str, amqp_url: str, tmp_path: Path
    ) -> None:
        with (
            scratch_database(postgres_url, prefix="pangaea_pooler") as database_url,
            pgbouncer.before(database_url, SCHEMAS, folder=tmp_path, mode="session", query="") as urls,
        ):
            dropped = {f"{schema.upper()}_DATABASE_URL": urls[schema] for schema in SCHEMAS}
            with (
                pytest.raises(AssertionError, match=r"search_path is .* instead of 'ledger'.*connect_query"),
                landscape_in(database_url, folder=tmp_path, broker_url=amqp_url, **dropped),
            ):
                pytest.fail("It was migrated.")
            with psycopg.connect(database_url) as owner:
                assert owner.execute("SELECT FROM pg_class WHERE relowner = current_user::regrole").fetchall() == []
                assert owner.execute("SELECT FROM pg_namespace WHERE nspname = 'ledger'").fetchall() == []
            with landscape_in(database_url, folder=tmp_path, broker_url=amqp_url) as land:
                relay, worker = land.relay(**dropped), land.worker("ledger", **dropped)
                land.wait_state("relay", "source", "interrupted")
                assert "search_path is" in land.components("relay")["source"]["reason"]
                assert land.is_ready("relay") is False
                wait_until(lambda: land.is_ready("worker-ledger") is False, what="the worker to answer")
                worker.wait_logged("search_path is")
                for process in (relay, worker):
                    process.stop()
