"""A server that ends idle sessions (idle_session_timeout): no process warns, and no relay loses its lead."""

import time
from collections.abc import Iterator

import httpx
import psycopg
import pytest

from pangaea.testing import wait_until
from tests.acceptance.shop import Customer, Shop
from tests.faults.conftest import Installation

pytestmark = pytest.mark.full

TIMEOUT = "1s"
SILENCE_SECONDS = 3.0
MODULES = ("orders", "users", "web_bff")


@pytest.fixture
def timed(installation: Installation) -> Iterator[Installation]:
    """The installation on a database that ends idle sessions, those of the web process included."""
    url = installation.processes.environment["DATABASE_URL"]
    name = psycopg.conninfo.conninfo_to_dict(url)["dbname"]
    with psycopg.connect(url, autocommit=True, options="-c idle_session_timeout=0") as owner:
        owner.execute(f"ALTER DATABASE {name} SET idle_session_timeout = '{TIMEOUT}'")
        owner.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        yield installation
        owner.execute(f"ALTER DATABASE {name} RESET idle_session_timeout")


def warnings(installation: Installation) -> list[str]:
    lines = [line for each in installation.workspace.processes for line in each.log.read_text().splitlines()]
    return [line for line in lines if '"level": "warning"' in line or '"level": "error"' in line]


class TestSilence:
    def test_is_not_ended_by_a_warning(self, timed: Installation) -> None:
        before = warnings(timed)
        relay, worker = timed.processes.relay(), timed.processes.worker()
        for module in MODULES:
            relay.wait_logged(f'"module": "{module}", "after_seconds"')
        worker.wait_logged("consumer started")
        with Shop(timed.url) as shop:
            for name in ("Ada Lovelace", "Grace Hopper"):
                until = time.monotonic() + SILENCE_SECONDS
                wait_until(lambda: time.monotonic() > until, what="the sessions to be idle")  # noqa: B023 - at once
                assert httpx.get(f"{timed.url}/readyz", trust_env=False).status_code == 200
                with Customer.register(shop, full_name=name) as customer:
                    customer.wait_until_known()
        assert warnings(timed) == before
        assert relay.log.read_text().count("relay became leader") == len(MODULES)
