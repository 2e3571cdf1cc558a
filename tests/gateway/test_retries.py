from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import pytest

from pangaea import gateway
from pangaea.testing import wait_until
from tests.gateway.edge import Edge, Service, declare, envoy, public, services


class TestRetries:
    """A service reads a request and closes the connection, so the gateway cannot know whether the work was done."""

    @pytest.mark.parametrize("method", ["POST", "PATCH"])
    def test_never_repeat_other_requests(self, edge: Edge, shop: Service, method: str) -> None:
        before = len(shop.seen)

        answer = httpx.request(method, f"{edge.url}/shop/hang-up", content=b"{}", timeout=20, trust_env=False)

        assert (answer.status_code, answer.json()["status"], answer.json()["code"]) == (502, 502, "interrupted")
        assert "may have done the work" in answer.json()["detail"]
        assert "retry-after" not in answer.headers
        assert len(shop.seen) == before + 1

    def test_are_not_controlled_by_the_client(self, edge: Edge, shop: Service) -> None:
        before = len(shop.seen)
        orders = {
            "X-Envoy-Retry-On": "reset,5xx",
            "X-Envoy-Max-Retries": "5",
            "X-Envoy-Upstream-Rq-Timeout-Ms": "60000",
        }

        httpx.post(f"{edge.url}/shop/hang-up", headers=orders, timeout=20, trust_env=False)

        assert len(shop.seen) == before + 1
        assert "60000" not in shop.seen[-1].headers.values()

    @pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
    def test_repeat_idempotent_requests(self, edge: Edge, shop: Service, method: str) -> None:
        before = len(shop.seen)

        httpx.request(method, f"{edge.url}/shop/hang-up", timeout=20, trust_env=False)

        assert len(shop.seen) > before + 1

    def test_find_the_instance_that_works(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        """One of two instances was killed: its port is closed, and its health check has not failed yet."""
        folder = tmp_path_factory.mktemp("killed")
        with (
            services("one", "two") as running,
            envoy(folder, [declare("shop", public("/shop"))], endpoints=endpoints(folder, running)) as edge,
        ):
            wait_until(lambda: len(edge.healthy("shop")) == 2, what="both to be used")
            running["one"].close()

            with httpx.Client(base_url=edge.url, timeout=20, trust_env=False) as client:
                answers = [client.request(method, "/shop") for _ in range(50) for method in ("GET", "POST")]

        assert {answer.status_code for answer in answers} == {200}

    def test_are_counted_for_prometheus(self, edge: Edge) -> None:
        answer = httpx.get(f"{edge.admin}/stats/prometheus", trust_env=False)

        assert 'envoy_cluster_upstream_rq_retry{envoy_cluster_name="shop"}' in answer.text


def endpoints(folder: Path, running: Mapping[str, Service]) -> str:
    addresses = [gateway.Address.parse(each.address, what=name) for name, each in running.items()]
    gateway.Endpoints(folder / "endpoints", "shop").set(addresses)
    return str(folder / "endpoints")


@pytest.fixture(scope="module")
def running() -> Iterator[dict[str, Service]]:
    with services("shop", "store") as started:
        yield started


@pytest.fixture(scope="module")
def shop(running: dict[str, Service]) -> Service:
    return running["shop"]


@pytest.fixture(scope="module")
def edge(running: dict[str, Service], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    declared = [declare("shop", public("/shop")), declare("store", public("/store"))]
    addresses = {name: each.address for name, each in running.items()}
    with envoy(tmp_path_factory.mktemp("retries"), declared, upstreams=addresses) as edge:
        edge.wait_for("/shop", "/store")
        yield edge
