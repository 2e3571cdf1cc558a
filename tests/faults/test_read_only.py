"""A database that is read-only for a while, as after a failover, under the web process."""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import psycopg
import pytest

from pangaea.testing import wait_until
from tests.acceptance.shop import Customer, Shop
from tests.faults.conftest import Installation

pytestmark = pytest.mark.full

HEALING_SECONDS = 20.0


@contextmanager
def read_only(installation: Installation) -> Iterator[None]:
    """Sessions are ended at the beginning but not at the end, so those opened in between stay read-only."""
    url = installation.processes.environment["DATABASE_URL"]
    name = psycopg.conninfo.conninfo_to_dict(url)["dbname"]
    with psycopg.connect(url, autocommit=True, options="-c default_transaction_read_only=off") as owner:
        owner.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        owner.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        yield
        owner.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")


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
        with read_only(installation):
            answers = [register(f"read-only-{number}") for number in range(6)]
            assert {answer.status_code for answer in answers} == {503}
            assert all(int(answer.headers["Retry-After"]) > 0 for answer in answers)
            assert ready() == 503
        wait_until(lambda: ready() == 200, what="the web process to be ready", seconds=HEALING_SECONDS)
        with Shop(installation.url) as shop:
            Customer.register(shop, full_name="Grace Hopper")
