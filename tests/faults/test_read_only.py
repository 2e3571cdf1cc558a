"""A database that is read-only for a while, as after a failover: 503, not ready, one line, and healed without help."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import httpx
import psycopg
import pytest

from pangaea.testing import wait_until
from pangaea.testing.databases import scratch_database
from tests.acceptance.shop import Customer, Shop
from tests.faults.conftest import Installation
from tests.faults.landscape import Landscape, landscape, landscape_in

pytestmark = pytest.mark.full

HEALING_SECONDS = 20.0
SENT = "SELECT sum(sent) FROM source.pangaea_stream"
WARNING = '"level": "warning"'


@contextmanager
def read_only(url: str, *, login: str = "") -> Iterator[None]:
    """Let the sessions of the database, or of this login alone, be read-only.

    Sessions are ended at the beginning but not at the end, so those opened in between stay read-only.
    """
    name = psycopg.conninfo.conninfo_to_dict(url)["dbname"]
    changed = f"ROLE {login}" if login else f"DATABASE {name}"
    with psycopg.connect(url, autocommit=True, options="-c default_transaction_read_only=off") as owner:
        owner.execute(f"ALTER {changed} SET default_transaction_read_only = on")
        owner.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid() "
            "AND %s IN ('', usename::text)",
            [login],
        )
        yield
        owner.execute(f"ALTER {changed} RESET default_transaction_read_only")


class TestAReadOnlyDatabase:
    def test_is_503_and_not_ready_and_heals(self, installation: Installation) -> None:
        def ready() -> int:
            return httpx.get(f"{installation.url}/readyz", trust_env=False).status_code

        def register(name: str) -> httpx.Response:
            account = {"email": f"{name}@example.org", "password": "a long passphrase", "full_name": "Ada Lovelace"}
            headers = {"Idempotency-Key": name}
            return httpx.post(
                f"{installation.url}/api/v1/accounts", json=account, headers=headers, trust_env=False, timeout=20
            )

        assert ready() == 200
        with read_only(installation.processes.environment["DATABASE_URL"]):
            answers = [register(f"read-only-{number}") for number in range(6)]
            assert {answer.status_code for answer in answers} == {503}
            assert all(int(answer.headers["Retry-After"]) > 0 for answer in answers)
            assert ready() == 503
        wait_until(lambda: ready() == 200, what="the web process to be ready", seconds=HEALING_SECONDS)
        with Shop(installation.url) as shop:
            Customer.register(shop, full_name="Grace Hopper")


class TestRelayAndWorker:
    def test_are_not_ready_in_one_line_and_heal(self, postgres_url: str, amqp_url: str, tmp_path: Path) -> None:
        with landscape(tmp_path, postgres_url=postgres_url, broker_url=amqp_url) as land:
            relay, worker = land.relay(), land.worker()
            land.publish(100, seed=1)
            land.wait_written(100)
            with read_only(land.database_url):
                land.wait_state("relay", "source", "interrupted")
                assert (land.is_ready("relay"), land.is_ready("worker")) == (False, False)
                until = time.monotonic() + 2.0
                wait_until(lambda: time.monotonic() > until, what="several attempts")
                assert land.components("relay")["source"]["state"] == "interrupted"
            land.wait_state("relay", "source", "leading")
            land.publish(100, seed=2)
            land.wait_written(200)
            assert relay.log.read_text().count("relay interrupted") == 1
            for process in (relay, worker):
                assert process.running
                assert "Traceback" not in process.log.read_text()


class TestASubscribersDatabase:
    @pytest.fixture
    def land(self, postgres_url: str, amqp_url: str, tmp_path: Path) -> Iterator[Landscape]:
        """A landscape whose `ledger` logs in as a user of its own."""
        with scratch_database(postgres_url, prefix="pangaea_faults") as url:
            address = urlsplit(url)
            login = f"{address.username}_reader"
            with psycopg.connect(postgres_url, autocommit=True) as administrator:
                administrator.execute(f"CREATE ROLE {login} LOGIN PASSWORD '{address.password}'")
                administrator.execute(f"GRANT {login} TO {address.username} WITH ADMIN OPTION")
                administrator.execute(f"GRANT CREATE ON DATABASE {address.username} TO {login}")
            netloc = f"{login}:{address.password}@{address.netloc.rpartition('@')[2]}"
            own = urlunsplit((address.scheme, netloc, address.path, address.query, ""))
            settings = {"LEDGER_DATABASE_URL": own, "TRANSIENT_RETRY": "0.5"}
            with landscape_in(url, folder=tmp_path, broker_url=amqp_url, **settings) as held:
                yield held

    def test_costs_one_line_however_many_batches_arrive(self, land: Landscape) -> None:
        land.relay()
        worker = land.worker()
        land.publish(100, seed=1)
        land.wait_written(100)
        login = str(urlsplit(land.environment["LEDGER_DATABASE_URL"]).username)
        with read_only(land.database_url, login=login):
            for seed in range(2, 7):
                land.publish(100, seed=seed)
            wait_until(lambda: land.number(SENT) == 600, what="the batches to be sent", seconds=HEALING_SECONDS)
            worker.wait_logged("database lost")
            assert land.is_ready("worker") is False
            assert land.written() == 100
        land.wait_written(600)
        log = worker.log.read_text()
        assert "Traceback" not in log
        assert log.count(WARNING) - log.count("process became unready") == log.count("database lost") == 1
        assert land.number("SELECT count(*) FROM ledger.pangaea_dead_letter") == 0
