"""A monolith in use becomes three services: its schemas move unchanged, and all messages are still delivered."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from joserfc.jwk import ECKey

from pangaea.testing.databases import scratch_database
from tests.acceptance import moving
from tests.acceptance.shop import Customer, Shop
from tests.acceptance.topologies import MODULES, ProcessSet, monolith_environment, services
from tests.processes import MANAGE, workspace

pytestmark = pytest.mark.full


class TestAMonolithThatIsSplit:
    def test_continues_where_it_stopped(self, postgres_url: str, amqp_url: str, tmp_path: Path) -> None:
        folders = [tmp_path / name for name in ("monolith", "services")]
        for folder in folders:
            folder.mkdir()
        with (
            scratch_database(postgres_url, prefix="pangaea_whole") as whole,
            scratch_database(postgres_url, prefix="pangaea_users") as users,
            scratch_database(postgres_url, prefix="pangaea_orders") as orders,
            scratch_database(postgres_url, prefix="pangaea_bff") as web_bff,
        ):
            former = monolith_environment(
                database_url=whole, broker_url=amqp_url, signing_key=ECKey.generate_key("P-256")
            )
            token, sku, placed = use(former, folders[0])
            own = dict(zip(MODULES, (users, orders, web_bff), strict=True))
            for module, url in own.items():
                moved = moving.run(module, source=whole, target=url, folder=tmp_path)
                assert moved.returncode == 0, moved.stderr
            with (
                services(
                    folders[1], name="services", database_urls=own, broker_url=amqp_url, former=former
                ) as deployment,
                Shop(deployment.base_url) as shop,
                Customer(shop, token=token, email="") as customer,
            ):
                for order in placed:
                    page = customer.page(order["id"])
                    assert [(line["sku"], line["quantity"]) for line in page["lines"]] == [(sku, 1)]
                    assert [entry["what"] for entry in page["timeline"]] == ["placed"]
                stock = shop.stock(sku)
                repeat = customer.order((sku, 1), key="last")
                assert (repeat.json(), repeat.headers["idempotent-replayed"]) == (placed[-1], "true")
                after = customer.place((sku, 1))
                assert customer.page(after["id"])["id"] == after["id"]
                checkout = customer.outcome(customer.check_out((sku, 1)))
                assert customer.page(checkout["order_id"])["status"] == "placed"
                assert shop.stock(sku) == stock - 2
                listed = [each["id"] for each in customer.get("/bff/v1/orders").json()["results"]]
                expected = {*(order["id"] for order in placed), after["id"], checkout["order_id"]}
                assert (len(listed), set(listed)) == (len(expected), expected)
                assert customer.get("/bff/v1/home").status_code == httpx.codes.OK
                space = deployment.workspace
                for process in space.processes:
                    if process.command[: len(MANAGE)] == MANAGE and process.name.endswith("relay"):
                        space.manage("streams", "--check", environment=process.environment)


def use(environment: dict[str, str], folder: Path) -> tuple[str, str, list[dict[str, Any]]]:
    """Run a monolith that leaves an order on the BFF, another that is sent, and a third that is not sent.

    Returns the customer's token, the product, and the orders. The last one has the Idempotency-Key `last`.
    """
    with workspace(folder) as space:
        url = ProcessSet("all", space, environment).start(seed=True)
        relay, worker, _ = space.processes
        with Shop(url) as shop, Customer.register(shop, full_name="Ada Lovelace") as customer:
            sku = max(shop.products(), key=lambda product: product["in_stock"])["sku"]
            seen = customer.place((sku, 1))
            customer.page(seen["id"])
            worker.stop()
            sent = customer.place((sku, 1))
            relay.stop()
            return customer.token, sku, [seen, sent, customer.place((sku, 1), key="last")]
