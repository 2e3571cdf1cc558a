"""Real processes rebuild a projection: in a monolith under traffic, and from another service's history."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from joserfc.jwk import ECKey

from pangaea.testing import wait_until
from pangaea.testing.databases import scratch_database
from tests.acceptance import topologies
from tests.acceptance.shop import Customer, Shop
from tests.acceptance.topologies import ProcessSet
from tests.faults.conftest import Installation
from tests.processes import MANAGE, workspace

pytestmark = pytest.mark.full

ORDERS, CATALOGUE = "web_bff.orders", "web_bff.catalogue"
BEFORE, MEANWHILE = 15, 80


class TestInAMonolith:
    def test_pages_stay_whole_during_a_rebuild_and_after_one_was_killed(
        self, installation: Installation, customer: Customer
    ) -> None:
        installation.processes.relay()
        installation.processes.worker()
        customer.wait_until_known()
        sku = max(customer.products(), key=lambda product: int(product["in_stock"]))["sku"]
        for _ in range(BEFORE):
            customer.place((sku, 1))
        wait_until(lambda: len(listed(customer)) == BEFORE, what="the orders to be listed", seconds=60)

        def shadow_exists() -> bool:
            return installation.query("SELECT to_regclass('web_bff_shadow.pangaea_cursor') IS NOT NULL") == [(True,)]

        with traffic(customer, sku) as placed:
            command = (*MANAGE, "rebuild", ORDERS)
            killed = installation.workspace.start("rebuild", command, installation.processes.environment)
            wait_until(shadow_exists, what="the shadow", seconds=60)
            killed.kill()
            assert shadow_exists()
            for _ in range(2):
                done = installation.workspace.manage("rebuild", ORDERS, environment=installation.processes.environment)
                assert f"{ORDERS} is rebuilt." in done
            assert not shadow_exists()
        everything = customer.order_ids()
        assert set(placed) <= everything
        wait_until(lambda: listed(customer) == everything, what="all orders to be listed", seconds=60)
        installation.workspace.manage("reconcile", ORDERS, environment=installation.processes.environment)


class TestAcrossServices:
    def test_a_projection_is_rebuilt_from_another_services_history(
        self, postgres_url: str, amqp_url: str, tmp_path: Path
    ) -> None:
        key = ECKey.generate_key("P-256")
        with ExitStack() as stack:
            space = stack.enter_context(workspace(tmp_path))
            common = topologies.monolith_environment(database_url="", broker_url=amqp_url, signing_key=key)
            del common["DATABASE_URL"]
            sets = {}
            for module in ("orders", "web_bff"):
                url = stack.enter_context(scratch_database(postgres_url, prefix="pangaea_faults"))
                own = {
                    "DJANGO_SETTINGS_MODULE": "pangaea.settings.service",
                    "PANGAEA_MODULES": module,
                    f"{module.upper()}_DATABASE_URL": url,
                }
                sets[module] = ProcessSet(module, space, common | own)
                sets[module].prepare(seed=module == "orders")
            sets["orders"].relay()
            sets["orders"].worker()
            sets["web_bff"].worker()
            listener = sets["web_bff"].environment
            stack.callback(space.stop)  # before their databases are removed
            with psycopg.connect(listener["WEB_BFF_DATABASE_URL"], autocommit=True) as database:

                def entries() -> list[Any]:
                    return database.execute(
                        "SELECT sku, name FROM web_bff.web_bff_catalogueitem ORDER BY sku"
                    ).fetchall()

                def whole() -> bool:
                    try:
                        space.manage("reconcile", CATALOGUE, environment=listener)
                    except AssertionError:
                        return False
                    return True

                wait_until(entries, what="the catalogue to arrive", seconds=60)
                wait_until(whole, what="the catalogue to be whole", seconds=60)
                right = entries()
                database.execute(
                    "UPDATE web_bff.web_bff_catalogueitem SET name = 'wrong' WHERE sku = %s", [right[0][0]]
                )
                assert not whole()
                space.manage("rebuild", CATALOGUE, environment=listener)
                assert entries() == right
                assert whole()


def listed(customer: Customer) -> set[str]:
    """The orders on the customer's page, a hundred at most."""
    answer = customer.get("/bff/v1/orders?limit=100").raise_for_status().json()
    return {order["id"] for order in answer["results"]}


@contextmanager
def traffic(customer: Customer, sku: str) -> Iterator[list[str]]:
    """Orders, one by one, and a reader whose page must never be shorter than before; the ids of the orders placed."""
    stop = threading.Event()
    placed: list[str] = []
    failures: list[BaseException] = []
    shop = Shop(str(customer.base_url))

    def write() -> None:
        with Customer(shop, token=customer.token, email=customer.email) as writer:
            while not stop.wait(0.5) and len(placed) < MEANWHILE:
                placed.append(writer.place((sku, 1))["id"])

    def read() -> None:
        with Customer(shop, token=customer.token, email=customer.email) as reader:
            known: set[str] = set()
            while not stop.wait(0.05):
                page = listed(reader)
                assert known <= page, f"{len(known - page)} orders disappeared"
                known = page

    def guarded(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - raised again below
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=[work]) for work in (write, read)]
    for thread in threads:
        thread.start()
    try:
        yield placed
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        shop.close()
    for failure in failures:
        raise failure
