import pytest

from pangaea.testing import wait_until
from tests.acceptance.shop import Customer
from tests.faults.conftest import Installation
from tests.faults.test_relay_killed import most_of_all, parked, unsettled

LOST, LATER = 5, 3
HEALING_SECONDS = 60.0
QUEUE = "web_bff.inbox.0of1"


@pytest.mark.full
class TestBatchesLostInTheBroker:
    def test_are_asked_for_again_without_an_operator(self, installation: Installation, customer: Customer) -> None:
        installation.processes.relay()
        worker = installation.processes.worker()
        customer.wait_until_known()
        worker.stop()
        sku = most_of_all(customer)

        lost = [customer.place((sku, 1))["id"] for _ in range(LOST)]
        wait_until(lambda: unsettled(installation) == 0, what="the relay to have sent")
        assert installation.waiting_in(QUEUE) >= 1
        assert installation.purge(QUEUE) >= 1
        assert customer.get("/bff/v1/orders").json()["results"] == []

        installation.processes.worker()
        later = [customer.place((sku, 1))["id"] for _ in range(LATER)]
        wait_until(
            lambda: ids_on_the_bff(customer) == set(lost + later), what="the BFF to catch up", seconds=HEALING_SECONDS
        )
        for order_id in lost + later:
            assert [entry["what"] for entry in customer.page(order_id)["timeline"]] == ["placed"]
        assert parked(installation) == 0


def ids_on_the_bff(customer: Customer) -> set[str]:
    found = [order["id"] for order in customer.get("/bff/v1/orders?limit=100").raise_for_status().json()["results"]]
    assert len(found) == len(set(found))
    return set(found)
