"""The start page at a real Envoy, and the pages of problems behind it."""

import re
from collections.abc import Iterator

import httpx
import pytest

from pangaea import gateway
from pangaea.gateway import pages
from pangaea.modules import ProblemType
from pangaea.pages import layout, start
from pangaea.testing import wait_until
from tests.gateway.edge import Edge, Service, declare, envoy, public, services

PATHS = ("/", "/admin", "/admin/", "/api/docs", "/api/docs/", "/api/schema", "/api/schema/")
BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
SOLD = ProblemType("sold", 409, "Another customer was faster.")


@pytest.fixture(scope="module")
def store() -> Iterator[Service]:
    with services("store") as running:
        yield running["store"]


@pytest.fixture(scope="module")
def edge(shop: Service, store: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """A gateway before two services; `shop` declares a problem."""
    declared = [declare("shop", public("/shop")), declare("store", public("/store"))]
    type(declared[0]).problems = (SOLD,)
    upstreams = {"shop": shop.address, "store": store.address}
    with envoy(tmp_path_factory.mktemp("pages"), declared, upstreams=upstreams) as edge:
        edge.wait_for("/shop", "/store")
        yield edge


def get(url: str, **headers: str) -> httpx.Response:
    return httpx.get(url, headers=headers, timeout=20, trust_env=False)


class TestTheStartPage:
    @pytest.mark.parametrize("path", PATHS)
    def test_is_html_for_people(self, edge: Edge, path: str) -> None:
        for base in (edge.url, edge.operators_url):
            answer = get(f"{base}{path}", **BROWSER)
            assert (answer.status_code, answer.headers["content-type"]) == (200, layout.HTML)
            assert answer.headers.get_list("content-security-policy") == [layout.POLICY]
            assert "Accept" in answer.headers["vary"].split(", ")
            assert answer.headers["cache-control"] == "no-cache"
            assert answer.text.startswith("<!DOCTYPE html>")

    @pytest.mark.parametrize("path", PATHS)
    @pytest.mark.parametrize("accept", ["*/*", "application/json", ""])
    def test_is_json_for_clients(self, edge: Edge, path: str, accept: str) -> None:
        answer = get(f"{edge.url}{path}", Accept=accept)
        assert (answer.status_code, answer.headers["content-type"]) == (200, layout.JSON)
        assert [each["label"] for each in answer.json()["modules"]] == ["shop", "store"]

    def test_has_links_that_are_answered_where_they_lead(self, edge: Edge) -> None:
        for base in (edge.url, edge.operators_url):
            links = re.findall(r'href="(/[^"]*|http://127.0.0.1[^"]*)"', get(f"{base}/", **BROWSER).text)
            assert len(links) == 7
            for link in links:
                assert get(str(httpx.URL(f"{base}/").join(link))).status_code == 200, link

    def test_leads_clients_to_the_admins_at_the_operators_listener(self, edge: Edge) -> None:
        for base, admin in ((edge.url, edge.operators_url), (edge.operators_url, "")):
            shop, _ = get(f"{base}/").json()["modules"]
            assert shop["admin"] == f"{admin}/admin/shop/"

    def test_has_no_log_ins_unless_they_are_asked_for(self, edge: Edge) -> None:
        assert get(f"{edge.url}/").json()["log_ins"] == []
        assert start.PASSWORD not in get(f"{edge.url}/", **BROWSER).text

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
    def test_is_only_read(self, edge: Edge, method: str) -> None:
        answer = httpx.request(method, f"{edge.url}/", timeout=20, trust_env=False)
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")
        assert answer.json()["code"] == "method_not_allowed"

    def test_has_no_body_for_head(self, edge: Edge) -> None:
        answer = httpx.head(f"{edge.url}/", headers=BROWSER, timeout=20, trust_env=False)
        assert (answer.status_code, answer.headers["content-type"], answer.content) == (200, layout.HTML, b"")


class TestTheAddressOfTheAdmins:
    @pytest.mark.parametrize(("operators", "admin"), [("0.0.0.0:8444", None), ("[::1]:8444", "http://[::1]:8444")])
    def test_is_shown_to_clients_on_the_loopback_alone(self, operators: str, admin: str | None) -> None:
        table = {"listen": "0.0.0.0:8080", "admin": "127.0.0.1:9901", "operators": operators}
        topology = gateway.Topology.read("sample", table)
        page = pages.start_page(topology, [declare("shop", "/shop")], documents=False, operators=False)
        assert page.modules[0].admin == (admin and f"{admin}/admin/shop/")
        assert page.modules[0].documents == (admin and f"{admin}/admin/shop/api/docs/shop/")
        assert ("for operators" in page.html()) == (admin is None)
        assert page.url is None


class TestThePageOfAProblem:
    def test_comes_from_the_module_that_declares_it(self, edge: Edge) -> None:
        assert get(f"{edge.url}/problems/sold").json()["service"] == "shop"
        assert get(f"{edge.operators_url}/problems/sold").json()["service"] == "shop"

    def test_comes_from_any_module_that_is_ready_otherwise(self, edge: Edge, shop: Service) -> None:
        assert get(f"{edge.url}/problems/token_missing").json()["service"] == "shop"
        shop.ready = False
        try:
            wait_until(lambda: not edge.healthy("shop"), what="the first module to be ejected", seconds=30)
            assert get(f"{edge.url}/problems/token_missing").json()["service"] == "store"
            assert get(f"{edge.url}/problems/sold").status_code == 503
        finally:
            shop.ready = True
            wait_until(lambda: edge.healthy("shop"), what="the first module to return", seconds=30)
