"""The listener for operators, which clients do not reach."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.gateway.edge import Edge, Service, declare, envoy, public

PER_MINUTE = 60


@pytest.fixture(scope="module")
def edge(shop: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    folder = tmp_path_factory.mktemp("operators")
    with envoy(folder, [declare("shop", public("/shop"))], upstreams={"shop": shop.address}) as edge:
        edge.wait_for("/shop")
        yield edge


@pytest.fixture
def clients(edge: Edge) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=edge.url, timeout=20, trust_env=False) as client:
        yield client


@pytest.fixture
def operators(edge: Edge) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=edge.operators_url, timeout=20, trust_env=False) as client:
        yield client


class TestTheListenerForClients:
    @pytest.mark.parametrize(
        "path",
        [
            "/admin/shop",
            "/admin/shop/",
            "/admin/shop/login/",
            "/admin//shop//login/",
            "/shop/../admin/shop/",
        ],
    )
    def test_has_no_admin(self, clients: httpx.Client, shop: Service, path: str) -> None:
        before = len(shop.seen)
        for method in ("GET", "POST"):
            answer = clients.request(method, path)
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
        assert not [each for each in shop.seen[before:] if "admin" in each.path]

    @pytest.mark.parametrize("path", ["/shop", "/api/docs/shop/", "/api/schema/shop/", "/admin/shop/static/docs.css"])
    def test_has_the_api_and_the_files_of_its_documents(self, clients: httpx.Client, path: str) -> None:
        assert clients.get(path).status_code == 200


class TestTheListenerForOperators:
    @pytest.mark.parametrize("path", ["/admin/shop/", "/admin/shop/static/docs.css", "/api/docs/shop/"])
    def test_has_the_admin(self, operators: httpx.Client, path: str) -> None:
        assert operators.get(path).json()["path"] == path

    def test_has_no_api(self, operators: httpx.Client) -> None:
        assert operators.get("/shop").status_code == 404

    @pytest.mark.parametrize("page", ["login", "password_change"])
    def test_limits_pages_that_take_a_password(self, operators: httpx.Client, page: str) -> None:
        answers = [operators.post(f"/admin/shop/{page}/").status_code for _ in range(PER_MINUTE + 30)]
        assert answers[:PER_MINUTE] == [200] * PER_MINUTE
        assert answers[-1] == 429
        assert operators.post("/admin/shop/").status_code == 200


class TestATopology:
    def test_may_serve_both_at_one_listener(self, shop: Service, tmp_path: Path) -> None:
        declared = [declare("shop", public("/shop"))]
        with envoy(tmp_path, declared, upstreams={"shop": shop.address}, operators=True) as edge:
            edge.wait_for("/shop")
            assert httpx.get(f"{edge.url}/admin/shop/", trust_env=False).status_code == 200
