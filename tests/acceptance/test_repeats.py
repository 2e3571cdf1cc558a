"""Requests that are sent again: fifty at once, and after the process was killed in the middle."""

import secrets
import sqlite3
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from threading import Barrier
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import httpx
import psycopg
import pytest

from pangaea.testing import wait_until
from tests.acceptance.shop import Customer, Shop
from tests.acceptance.topologies import Deployment

MANY = 50
ORDERS = "/api/v2/orders"
# A transaction of the process itself is over in milliseconds.
HANGS = 3.0


@pytest.fixture
def sku(shop: Shop) -> str:
    """The product with the largest stock."""
    return str(max(shop.products(), key=lambda product: product["in_stock"])["sku"])


def send(client: httpx.Client, sku: str, key: str) -> httpx.Response:
    """Order one piece, as often as the process has no thread for it."""

    def answer() -> httpx.Response | None:
        found = client.post(ORDERS, json={"lines": [{"sku": sku, "quantity": 1}]}, headers={"Idempotency-Key": key})
        return None if found.status_code == httpx.codes.SERVICE_UNAVAILABLE else found

    found: httpx.Response = wait_until(answer, what="an order to be taken", seconds=60)  # type: ignore[assignment] # no None
    return found


class TestFiftyIdenticalOrders:
    def test_at_once_are_one_order(self, customer: Customer, shop: Shop, sku: str) -> None:
        before, placed, key = shop.stock(sku), customer.order_ids(), secrets.token_hex(16)
        rendezvous = Barrier(MANY, timeout=60)

        def one(_number: int) -> httpx.Response:
            with Shop(str(shop.base_url), headers={"Authorization": f"Bearer {customer.token}"}) as visitor:
                rendezvous.wait()
                return send(visitor, sku, key)

        with ThreadPoolExecutor(MANY) as pool:
            answers = list(pool.map(one, range(MANY)))

        counted = Counter(answer.status_code for answer in answers)
        assert counted.keys() <= {201, 409}, counted
        orders = [answer for answer in answers if answer.status_code == httpx.codes.CREATED]
        assert {(answer.content, answer.headers["location"]) for answer in orders} == {
            (orders[0].content, orders[0].headers["location"])
        }
        assert sum("idempotent-replayed" not in answer.headers for answer in orders) == 1
        for answer in answers:
            if answer.status_code == httpx.codes.CONFLICT:
                assert answer.json()["code"] == "idempotency_key_in_use"
                assert int(answer.headers["retry-after"]) >= 1
        again = send(customer, sku, key)
        assert (again.content, again.headers["idempotent-replayed"]) == (orders[0].content, "true")
        assert customer.order_ids() - placed == {orders[0].json()["id"]}
        assert shop.stock(sku) == before - 1


@pytest.mark.full
@pytest.mark.parametrize("deployment", ["local", "monolith-rabbitmq"], indirect=True)
class TestAProcessThatIsKilledInTheMiddle:
    def test_leaves_nothing_and_a_repeat_places_the_order(
        self, deployment: Deployment, postgres_url: str, customer: Customer, shop: Shop, sku: str
    ) -> None:
        before, placed, key = shop.stock(sku), customer.order_ids(), secrets.token_hex(16)
        process = deployment.process("runserver" if deployment.name == "local" else "all-web")
        held = on_sqlite(deployment) if deployment.name == "local" else on_postgresql(deployment, postgres_url)
        with ThreadPoolExecutor(1) as pool, held as wait_until_held:
            first = pool.submit(send, customer, sku, key)
            wait_until_held()
            process.kill()
            with pytest.raises(httpx.TransportError):
                first.result(60)
        process.start()
        deployment.workspace.wait_ready(f"{deployment.base_url}/readyz", process=process)
        assert (shop.stock(sku), customer.order_ids()) == (before, placed)

        def repeat() -> httpx.Response | None:
            answer = send(customer, sku, key)
            # The server may still have to notice that the first transaction's client is dead.
            return None if answer.status_code == httpx.codes.CONFLICT else answer

        answer: Any = wait_until(repeat, what="the key to be free", seconds=30)
        assert (answer.status_code, "idempotent-replayed" in answer.headers) == (201, False)
        again = send(customer, sku, key)
        assert (again.content, again.headers["idempotent-replayed"]) == (answer.content, "true")
        assert customer.order_ids() - placed == {answer.json()["id"]}
        assert shop.stock(sku) == before - 1
        assert customer.page(answer.json()["id"])["status"] == "placed"


@contextmanager
def on_postgresql(deployment: Deployment, administrator_url: str) -> Iterator[Any]:
    """Hold requests up after their effects, when they record their answers. Gives a wait for one that is held."""
    database = urlsplit(deployment.process("all-web").environment["DATABASE_URL"]).path
    url = urlunsplit(urlsplit(administrator_url)._replace(path=database))
    waiting = (
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() "
        "AND wait_event_type = 'Lock' AND query LIKE 'INSERT INTO \"pangaea_idempotency\"%'"
    )
    with psycopg.connect(url) as holder, psycopg.connect(url, autocommit=True) as observer:
        holder.execute("LOCK TABLE orders.pangaea_idempotency IN SHARE MODE")
        yield lambda: wait_until(
            lambda: observer.execute(waiting).fetchone(), what="a request that records its answer", seconds=30
        )


@contextmanager
def on_sqlite(deployment: Deployment) -> Iterator[Any]:
    """Hold requests up as above, by a trigger that does not end."""
    file = deployment.workspace.folder / "state" / "orders.sqlite3"

    def hangs() -> bool:
        with closing(sqlite3.connect(file, timeout=HANGS, isolation_level=None)) as other:
            try:
                other.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return True
            other.execute("ROLLBACK")
            return False

    with closing(sqlite3.connect(file, timeout=30, isolation_level=None)) as database:
        database.execute(
            "CREATE TRIGGER hang BEFORE INSERT ON pangaea_idempotency BEGIN SELECT count(*) FROM ("
            "WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number) SELECT n FROM number); END"
        )
        try:
            yield lambda: wait_until(hangs, what="a request that records its answer", seconds=30)
        finally:
            database.execute("DROP TRIGGER hang")
