"""Checkouts, black box: a command over the bus, in every topology and while its receiver is down."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx
import pytest

from pangaea.testing import wait_until
from tests.acceptance.shop import Customer, Shop
from tests.acceptance.topologies import Deployment

OUTAGE_SECONDS = 60.0
UNKNOWN_SKU = "NO-SUCH-THING"


@pytest.fixture
def product(shop: Shop) -> dict[str, Any]:
    """The product with the largest stock."""
    return max(shop.products(), key=lambda product: product["in_stock"])


class TestACheckout:
    def test_becomes_an_order_that_the_bff_shows(self, shop: Shop, customer: Customer, product: dict[str, Any]) -> None:
        before = shop.stock(product["sku"])
        answer = customer.check_out((product["sku"], 2))
        assert answer.json() == {"id": answer.json()["id"], "status": "pending", "order_id": None, "refusal": None}
        assert answer.headers["location"] == f"/bff/v1/checkouts/{answer.json()['id']}"

        checkout = customer.outcome(answer)
        assert (checkout["id"], checkout["status"], checkout["refusal"]) == (answer.json()["id"], "placed", None)
        page = customer.page(checkout["order_id"])
        assert [(line["sku"], line["quantity"]) for line in page["lines"]] == [(product["sku"], 2)]
        assert customer.get("/bff/v1/orders").json()["results"][0]["id"] == checkout["order_id"]
        assert customer.get(f"/api/v1/orders/{checkout['order_id']}").json()["total"] == page["total"]
        assert shop.stock(product["sku"]) == before - 2

    def test_has_its_correlation_id_in_the_logs_of_the_request_and_of_the_handler(
        self, deployment: Deployment, customer: Customer, product: dict[str, Any]
    ) -> None:
        followed = f"followed-{uuid4().hex}"
        body = {"lines": [{"sku": product["sku"], "quantity": 1}]}
        answer = customer.post("/bff/v1/checkout", json=body, headers={"X-Correlation-ID": followed})
        assert answer.headers["X-Correlation-ID"] == followed
        customer.outcome(answer)

        def logged() -> set[str]:
            """The events on the lines with this id, in all processes."""
            processes = deployment.workspace.processes
            lines = [line for each in processes for line in each.log.read_text(errors="replace").splitlines()]
            ours = "\n".join(line for line in lines if followed in line)
            return {event for event in ("checkout accepted", "order placed") if event in ours}

        wait_until(lambda: logged() == {"checkout accepted", "order placed"}, what="both lines with the id")

    def test_of_more_than_there_is_shows_the_refusal(self, shop: Shop, customer: Customer) -> None:
        scarce = min(shop.products(), key=lambda product: product["in_stock"])
        orders = customer.order_ids()

        checkout = customer.outcome(customer.check_out((scarce["sku"], scarce["in_stock"] + 1)))

        assert (checkout["status"], checkout["order_id"]) == ("refused", None)
        assert checkout["refusal"]["code"] == "out_of_stock"
        assert scarce["sku"] in checkout["refusal"]["detail"]
        assert shop.stock(scarce["sku"]) == scarce["in_stock"]
        assert customer.order_ids() == orders

    def test_of_an_unknown_product_names_it(self, customer: Customer) -> None:
        refusal = customer.outcome(customer.check_out((UNKNOWN_SKU, 1)))["refusal"]
        assert refusal["code"] == "unknown_sku"
        assert UNKNOWN_SKU in refusal["detail"]

    def test_of_a_wrong_shape_is_refused_at_once(self, customer: Customer, product: dict[str, Any]) -> None:
        answer = customer.check_out((product["sku"], 0))
        assert (answer.status_code, answer.json()["code"]) == (httpx.codes.BAD_REQUEST, "validation_failed")

    def test_is_its_customers_alone(self, shop: Shop, customer: Customer) -> None:
        location = customer.check_out((UNKNOWN_SKU, 1)).headers["location"]
        assert shop.get(location).status_code == httpx.codes.UNAUTHORIZED
        with Customer.register(shop, full_name="Eve") as eve:
            answer = eve.get(location)
        assert (answer.status_code, answer.json()["code"]) == (httpx.codes.NOT_FOUND, "checkout_not_found")


@pytest.mark.parametrize("deployment", ["services"], indirect=True)
@pytest.mark.full
class TestWhileOrdersIsDown:
    def test_checkouts_are_accepted_and_decided_once_it_is_back(
        self, deployment: Deployment, shop: Shop, customer: Customer, product: dict[str, Any]
    ) -> None:
        before = shop.stock(product["sku"])
        with deployment.without("orders"):
            assert customer.get("/api/v1/orders").status_code >= httpx.codes.INTERNAL_SERVER_ERROR
            wanted = [customer.check_out((product["sku"], 1)) for _ in range(5)]
            refused = customer.check_out((UNKNOWN_SKU, 1))
            for answer in (*wanted, refused):
                assert answer.status_code == httpx.codes.ACCEPTED, answer.text
                assert customer.get(answer.headers["location"]).json()["status"] == "pending"

        placed = [customer.outcome(answer) for answer in wanted]
        assert [checkout["status"] for checkout in placed] == ["placed"] * len(wanted)
        assert customer.outcome(refused)["refusal"]["code"] == "unknown_sku"
        for checkout in placed:
            assert customer.page(checkout["order_id"])["status"] == "placed"
        assert shop.stock(product["sku"]) == before - len(wanted)


@dataclass
class Visits:
    """The accepted checkouts, the number of pages read, and the failures."""

    taken: list[httpx.Response] = field(default_factory=list)
    read: int = 0
    failures: list[str] = field(default_factory=list)


@contextmanager
def visiting(shop: Shop, customer: Customer, sku: str) -> Iterator[Visits]:
    """Read the BFF's pages and check out until the end of the block, each time on a new connection."""
    seen, stop = Visits(), threading.Event()

    def visit() -> None:
        while not stop.wait(0.25):
            try:
                with Customer(shop, token=customer.token, email=customer.email) as visitor:
                    home = visitor.get("/bff/v1/home").raise_for_status().json()
                    assert home["me"]["email"] == customer.email
                    visitor.get("/bff/v1/orders").raise_for_status()
                    seen.read += 1
                    answer = visitor.check_out((sku, 1))
                    assert answer.status_code == httpx.codes.ACCEPTED, answer.text
                    seen.taken.append(answer)
            except (httpx.HTTPError, AssertionError) as error:
                seen.failures.append(repr(error))

    visitor = threading.Thread(target=visit)
    visitor.start()
    try:
        yield seen
    finally:
        stop.set()
        visitor.join()


@pytest.mark.parametrize("deployment", ["split"], indirect=True)
@pytest.mark.full
class TestWhileOrdersIsDownForAMinute:
    def test_the_bff_goes_on_and_each_checkout_becomes_one_order_afterwards(
        self, deployment: Deployment, shop: Shop, plenty: str
    ) -> None:
        before = shop.stock(plenty)
        with Customer.register(shop, full_name="Alfred Wegener") as alfred:
            alfred.wait_until_known()
            with visiting(shop, alfred, plenty) as seen:
                with deployment.without("orders"):
                    already, read = len(seen.taken), seen.read
                    assert alfred.get("/api/v1/orders").status_code >= httpx.codes.INTERNAL_SERVER_ERROR
                    back = time.monotonic() + OUTAGE_SECONDS
                    wait_until(
                        lambda: time.monotonic() > back, what="the outage to be over", seconds=2 * OUTAGE_SECONDS
                    )
                    meanwhile = seen.taken[already:]
                    assert seen.read > read
                    assert meanwhile
                    for answer in (meanwhile[0], meanwhile[-1]):
                        assert alfred.get(answer.headers["location"]).json()["status"] == "pending"
                known = len(seen.taken)
                wait_until(
                    lambda: seen.failures or len(seen.taken) >= known + 5, what="checkouts afterwards", seconds=60
                )
            assert seen.failures == []

            orders = [alfred.outcome(answer)["order_id"] for answer in seen.taken]
            assert None not in orders
            assert len(set(orders)) == len(seen.taken)
            for path in ("/api/v1/orders", "/bff/v1/orders"):
                assert sorted(each["id"] for each in alfred.every(path)) == sorted(orders)
            assert shop.stock(plenty) == before - len(orders)
