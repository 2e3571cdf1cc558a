"""Every web process adds the calls that it answered to one table, also when it is stopped."""

import json
import os
import signal
from base64 import urlsafe_b64decode

import pytest

from pangaea.testing import free_port, wait_until
from tests.acceptance.shop import Customer, Shop
from tests.acceptance.topologies import HOST, Deployment
from tests.processes import MANAGE, Process

pytestmark = pytest.mark.full

WEB = {"local": "runserver", "monolith-rabbitmq": "all-web"}
"""The name of orders' web process; in the split it is `orders-web`."""
V1, V2 = "/api/v1/orders", "/api/v2/orders"


def web_of(deployment: Deployment) -> Process:
    return deployment.process(WEB.get(deployment.name, "orders-web"))


def subject_of(customer: Customer) -> str:
    payload = customer.token.split(".")[1]
    return str(json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["sub"])


def counted(deployment: Deployment, customer: Customer) -> dict[str, int]:
    """The customer's calls by route."""
    environment = web_of(deployment).environment
    printed = deployment.workspace.manage("api_calls", "--module=orders", "--json", environment=environment)
    subject = subject_of(customer)
    return {each["route"]: each["calls"] for each in json.loads(printed)["orders"] if each["subject"] == subject}


class TestCalls:
    @pytest.mark.parametrize("deployment", ["local", "split"], indirect=True)
    def test_are_counted_by_every_web_process(self, deployment: Deployment, shop: Shop) -> None:
        with Customer.register(shop, full_name="Bea Counted") as customer:
            for path in (V1, V1, V2, "/api/v1/products", f"{V1}/nothing"):
                customer.get(path)
            wait_until(lambda: counted(deployment, customer) == {V1: 2, V2: 1}, what="the calls to be counted")

    @pytest.mark.parametrize("deployment", ["monolith-rabbitmq"], indirect=True)
    def test_of_a_process_that_is_stopped_are_counted_too(self, deployment: Deployment, shop: Shop) -> None:
        port = free_port()
        command = (*MANAGE, "web", "--bind", f"{HOST}:{port}", "--workers", "2", "--threads", "2")
        second = deployment.workspace.start("all-web-2", command, web_of(deployment).environment)
        url = f"http://{HOST}:{port}"
        deployment.workspace.wait_ready(f"{url}/readyz", process=second)
        with Customer.register(shop, full_name="Cyd Counted") as customer:
            for number in range(20):
                # A connection per call, so that both workers get some.
                with Shop(deployment.base_url if number < 5 else url, headers=dict(customer.headers)) as one:
                    assert one.get(V1).status_code == 200
            os.kill(second.popen.pid, signal.SIGTERM)
            assert second.popen.wait(timeout=60) == 0
            wait_until(lambda: counted(deployment, customer) == {V1: 20}, what="twenty calls to be counted")
