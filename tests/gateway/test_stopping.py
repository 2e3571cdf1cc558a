"""A gateway is stopped without losing a request, by the steps in gateway_conf/README.md."""

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import httpx
import pytest

from pangaea.testing import wait_until
from tests.gateway.edge import HOST, Edge, Service, declare, envoy, public, services

CALLERS = 6
IN_FLIGHT = 4
PLENTY = 100_000
"""Factor on the declared rate limits."""


@pytest.mark.full
class TestStoppingAGateway:
    """One of two gateways is stopped while callers keep connections to both, and some answers take long."""

    def test_lets_what_is_in_flight_complete_and_loses_nothing(self, tmp_path: Path) -> None:
        with services("shop") as running, two_gateways(tmp_path, running["shop"]) as (first, second):
            shop, load = running["shop"], Load(first, second)
            with ThreadPoolExecutor(CALLERS + IN_FLIGHT) as pool:
                callers = [pool.submit(load.keep_asking, nth) for nth in range(CALLERS)]
                slow = [pool.submit(ask_slowly, first) for _ in range(IN_FLIGHT)]
                try:
                    load.wait_for_more(first, second)
                    wait_until(lambda: asked(shop, "/shop/slow") == IN_FLIGHT, what="the slow ones to arrive")

                    stop(first, load, slow, shop)
                    load.wait_for_more(second)
                finally:
                    shop.let_go.set()
                    load.end.set()
                for each in callers:
                    each.result()

            assert load.failed == []
            assert [each.result() for each in slow] == [200] * IN_FLIGHT
            assert asked(shop, "/shop/once") == load.posts, "none lost, none repeated"


def stop(gateway: Edge, load: "Load", slow: list["Future[int]"], shop: Service) -> None:
    assert httpx.get(f"{gateway.url}/healthz", trust_env=False).status_code == 200
    order(gateway, "/healthcheck/fail")
    assert httpx.get(f"{gateway.url}/healthz", trust_env=False).status_code == 503
    load.gateways.remove(gateway)  # as a balancer does after a failed health check
    wait_until(lambda: connections(gateway) == IN_FLIGHT, what="the callers' connections to end", seconds=30)

    order(gateway, "/drain_listeners")
    wait_until(lambda: not listening(gateway), what="it to take no more connections", seconds=30)
    assert not any(each.done() for each in slow)
    shop.let_go.set()
    wait_until(lambda: requests(gateway) == 0, what="what is in flight to complete", seconds=30)

    order(gateway, "/quitquitquit")
    assert gateway.process.wait(timeout=30) == 0


class Load:
    """Callers of the balancer's gateways, which go to another one when a gateway closes their connection."""

    def __init__(self, *gateways: Edge) -> None:
        self.gateways = list(gateways)
        self.end = threading.Event()
        self.failed: list[str] = []
        self.done: Counter[Edge] = Counter()
        self.posts = 0
        self.lock = threading.Lock()

    def keep_asking(self, nth: int) -> None:
        """Send requests until the end. The caller keeps to its gateway, so that each gateway has callers."""
        while not self.end.is_set():
            gateways = list(self.gateways)
            gateway = gateways[nth % len(gateways)]
            connection = HTTPConnection(HOST, gateway.port, timeout=30)
            try:
                connection.connect()
            except ConnectionRefusedError:
                continue  # nothing was sent, so a balancer may use another gateway
            try:
                while not self.end.is_set() and self.stays_open(gateway, connection):
                    pass
            except (OSError, HTTPException) as error:
                self.failed.append(repr(error))
            finally:
                connection.close()

    def stays_open(self, gateway: Edge, connection: HTTPConnection) -> bool:
        """Send a repeatable and an unrepeatable request; returns whether the connection stays open."""
        for method, path in (("GET", "/shop"), ("POST", "/shop/once")):
            connection.request(method, path)
            answer = connection.getresponse()
            answer.read()
            with self.lock:
                self.done[gateway] += 1
                self.posts += method == "POST"
            if answer.status != httpx.codes.OK:
                self.failed.append(f"{method} {answer.status}")
            if answer.will_close:
                return False
        return True

    def wait_for_more(self, *gateways: Edge) -> None:
        so_far = Counter(self.done)
        wait_until(
            lambda: all(self.done[each] > so_far[each] + 500 for each in gateways),
            what="the callers to go on",
            seconds=60,
        )


@contextmanager
def two_gateways(folder: Path, shop: Service) -> Iterator[tuple[Edge, Edge]]:
    declared, addresses = [declare("shop", public("/shop"))], {"shop": shop.address}
    for name in ("first", "second"):
        (folder / name).mkdir()
    with (
        envoy(folder / "first", declared, upstreams=addresses, limits=PLENTY) as first,
        envoy(folder / "second", declared, upstreams=addresses, limits=PLENTY) as second,
    ):
        first.wait_for("/shop")
        second.wait_for("/shop")
        yield first, second


def ask_slowly(gateway: Edge) -> int:
    return httpx.post(f"{gateway.url}/shop/slow", timeout=60, trust_env=False).status_code


def asked(shop: Service, path: str) -> int:
    return len([each for each in shop.seen if each.path == path])


def order(gateway: Edge, what: str) -> None:
    httpx.post(f"{gateway.admin}{what}", timeout=20, trust_env=False).raise_for_status()


def requests(gateway: Edge) -> int:
    return gateway.count("envoy_http_downstream_rq_active", envoy_http_conn_manager_prefix="edge")


def connections(gateway: Edge) -> int:
    return gateway.count("envoy_http_downstream_cx_active", envoy_http_conn_manager_prefix="edge")


def listening(gateway: Edge) -> bool:
    try:
        httpx.get(f"{gateway.url}/shop", timeout=20, trust_env=False)
    except httpx.ConnectError:
        return False
    return True
