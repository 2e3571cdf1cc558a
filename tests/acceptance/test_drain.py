"""SIGTERM to each kind of process, one after the other, while orders are placed through the gateway: nobody notices."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx
import pytest

from pangaea.testing import free_port, wait_until
from tests.acceptance.shop import Customer, Shop
from tests.acceptance.topologies import HOST, Deployment
from tests.processes import Process

pytestmark = [pytest.mark.full, pytest.mark.parametrize("deployment", ["split"], indirect=True)]
SECONDS = 60.0
MORE = 15
"""Orders that pass before and after each signal."""


@dataclass
class Orders:
    """What was placed and cancelled again, which leaves the stock as it was, and what was refused."""

    done: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def wait_for(self, more: int) -> None:
        goal = len(self.done) + more
        wait_until(lambda: self.failures or len(self.done) >= goal, what=f"{more} more orders", seconds=SECONDS)


@contextmanager
def ordering(shop: Shop, customer: Customer) -> Iterator[Orders]:
    """Two visitors who order and cancel all the while; each order on a connection of its own."""
    sku = max(shop.products(), key=lambda product: product["in_stock"])["sku"]
    seen, stop = Orders(), threading.Event()

    def visit() -> None:
        while not stop.wait(0.05):
            try:
                with Customer(shop, token=customer.token, email=customer.email) as visitor:
                    order = visitor.place((sku, 1))["id"]
                    visitor.post(f"/api/v1/orders/{order}/cancel").raise_for_status()
            except (httpx.HTTPError, AssertionError) as error:
                seen.failures.append(repr(error))
            else:
                seen.done.append(order)

    visitors = [threading.Thread(target=visit) for _ in range(2)]
    for each in visitors:
        each.start()
    try:
        yield seen
    finally:
        stop.set()
        for each in visitors:
            each.join()


def process(deployment: Deployment, name: str) -> Process:
    return next(each for each in deployment.workspace.processes if each.name == name)


def end(process: Process) -> None:
    """Tell it twice, and wait until it ends well."""
    for _ in range(2):
        os.kill(process.popen.pid, signal.SIGTERM)
    assert process.popen.wait(timeout=SECONDS) == 0, process.tail


@contextmanager
def second_instance(deployment: Deployment) -> Iterator[Process]:
    """Another web process of orders behind the gateway."""
    space, first = deployment.workspace, process(deployment, "orders-web")
    port = free_port()
    directory = f"--directory={space.folder / 'state' / 'endpoints'}"
    command = (*(part for part in first.command if not str(part).startswith("--bind")), f"--bind={HOST}:{port}")
    second = space.start("orders-web-2", command, first.environment)
    try:
        space.wait_ready(f"https://{HOST}:{port}/readyz", process=second)
        space.manage("endpoints", "add", "orders", f"{HOST}:{port}", directory, environment={})
        yield second
    finally:
        space.manage("endpoints", "remove", "orders", f"{HOST}:{port}", directory, environment={})
        second.stop()
        space.processes.remove(second)


class TestEachKindOfProcessToldToEnd:
    def test_fails_no_request_and_loses_and_doubles_nothing(
        self, deployment: Deployment, customer: Customer, shop: Shop
    ) -> None:
        space = deployment.workspace
        with second_instance(deployment) as second, ordering(shop, customer) as seen:
            wait_until(lambda: "/api/v1/orders" in second.tail, what="the second to be used", seconds=SECONDS)
            first = process(deployment, "orders-web")
            seen.wait_for(MORE)
            end(first)
            seen.wait_for(MORE)
            first.start()
            space.wait_ready(f"{deployment.web_urls['orders']}/readyz", process=first)
            known = first.tail.count("/api/v1/orders")
            wait_until(lambda: first.tail.count("/api/v1/orders") > known, what="the first to be used", seconds=SECONDS)
            for name in ("orders-relay", "orders-worker", "web_bff-worker", "web_bff-relay"):
                seen.wait_for(MORE)
                told = process(deployment, name)
                end(told)
                seen.wait_for(MORE)
                told.start()
        assert seen.failures == []
        for order in seen.done:
            page = customer.page(order, status="cancelled")
            assert [entry["what"] for entry in page["timeline"]] == ["placed", "cancelled"]
