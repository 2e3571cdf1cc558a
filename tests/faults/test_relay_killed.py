import sys

import pytest

from pangaea.testing import wait_until
from tests.acceptance.shop import Customer
from tests.faults import relay_that_stalls
from tests.faults.conftest import Installation

pytestmark = pytest.mark.full


class TestARelayKilledBetweenSendingAndSettling:
    def test_sends_again_and_nothing_is_doubled(self, installation: Installation, customer: Customer) -> None:
        installation.processes.worker()
        settle_everything(installation)
        program = (sys.executable, "-m", relay_that_stalls.__name__, "orders")
        relay = installation.workspace.start("stalling-relay", program, installation.processes.environment)
        sku = most_of_all(customer)

        order = customer.place((sku, 1))
        customer.page(order["id"])
        wait_until(lambda: relay_that_stalls.STALLED in relay.tail, what="the relay to have sent")
        assert unsettled(installation) == 1
        relay.kill()
        assert unsettled(installation) == 1
        written = lines_of(installation, order["id"])

        installation.processes.relay("orders")
        wait_until(lambda: unsettled(installation) == 0, what="the next relay to settle")
        customer.post(f"/api/v1/orders/{order['id']}/cancel").raise_for_status()
        # The batch that was sent twice is before this one in the queue, so it has been consumed.
        page = customer.page(order["id"], status="cancelled")
        assert [entry["what"] for entry in page["timeline"]] == ["placed", "cancelled"]
        assert [order["id"] for order in customer.get("/bff/v1/orders").json()["results"]] == [order["id"]]
        # Handlers tolerate repetition, so the page is right either way; only the rows show that none was called twice.
        assert lines_of(installation, order["id"]) == written
        assert parked(installation) == 0


def settle_everything(installation: Installation) -> None:
    """Let a relay send the backlog, so that the next message is the only one."""
    relay = installation.processes.relay()
    wait_until(lambda: unsettled(installation) == 0, what="the outboxes to be empty")
    relay.stop()


def most_of_all(customer: Customer) -> str:
    """The sku with the largest stock."""
    sku: str = max(customer.products(), key=lambda product: product["in_stock"])["sku"]
    return sku


def unsettled(installation: Installation) -> int:
    """How many messages of orders are not recorded as sent."""
    ((count,),) = installation.query(
        "SELECT (SELECT count(*) FROM orders.pangaea_outbox)"
        " - coalesce((SELECT sum(sent) FROM orders.pangaea_stream), 0)"
    )
    return int(count)


def lines_of(installation: Installation, order_id: str) -> list[tuple[int, str]]:
    """The rows of an order's lines on the BFF, each with the transaction that wrote it."""
    rows = installation.query("SELECT id, xmin::text FROM web_bff.web_bff_orderline WHERE order_id = %s", order_id)
    assert rows
    return [(row, transaction) for row, transaction in rows]


def parked(installation: Installation) -> int:
    """How many messages the BFF has parked."""
    ((count,),) = installation.query("SELECT count(*) FROM web_bff.pangaea_dead_letter")
    return int(count)
