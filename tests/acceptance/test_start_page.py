"""The pages for people, the same whatever the deployment: the start page, and where the `type` of a problem leads."""

import re
from urllib.parse import urljoin, urlsplit

import httpx
import pytest

from pangaea.api import problem_types
from tests.acceptance.shop import Shop
from tests.acceptance.topologies import MODULES, Deployment

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
OF_A_MODULE = ("out_of_stock", "email_taken", "checkout_not_found")
OF_THE_KERNEL = ("token_missing", "not_found", "unavailable", "refused_by_gateway")


def page(client: httpx.Client, path: str) -> str:
    """The HTML that a browser shows at this address, after redirects."""
    answer = client.get(path, headers=BROWSER, follow_redirects=True)
    assert answer.status_code == httpx.codes.OK, (path, answer.text)
    assert answer.headers["content-type"].startswith("text/html"), path
    return answer.text


class TestTheStartPage:
    def test_names_every_module_and_has_no_dead_link(self, deployment: Deployment, shop: Shop) -> None:
        links = re.findall(r'href="((?:/|https?://)[^"]*)"', page(shop, "/"))
        for label in MODULES:
            for end in (f"/admin/{label}/", f"/api/docs/{label}/", f"/api/schema/{label}/"):
                assert any(link.endswith(end) for link in links), (label, end)
        for link in links:
            answer = shop.get(urljoin(deployment.base_url, link), headers=BROWSER, follow_redirects=True)
            assert answer.status_code == httpx.codes.OK, link

    def test_is_json_for_clients(self, shop: Shop) -> None:
        found = shop.get("/").raise_for_status().json()
        assert {each["label"] for each in found["modules"]} == set(MODULES)

    @pytest.mark.parametrize("path", ["/", "/admin/", "/api/docs/"])
    def test_is_at_every_address_that_people_try_or_another_page_is(
        self, deployment: Deployment, shop: Shop, path: str
    ) -> None:
        for base in (deployment.base_url, deployment.operators_url):
            page(shop, base + path)

    def test_leads_on_from_the_address_of_the_whole_document(self, deployment: Deployment, shop: Shop) -> None:
        for base in (deployment.base_url, deployment.operators_url):
            found = shop.get(f"{base}/api/schema/", headers={"Accept": "application/json"}).raise_for_status().json()
            # One process has the whole document; a gateway leads to those of its modules.
            assert "paths" in found or {each["label"] for each in found["modules"]} == set(MODULES)


class TestTheTypeOfAProblem:
    @pytest.mark.parametrize("code", [*OF_A_MODULE, *OF_THE_KERNEL])
    def test_leads_to_its_explanation(self, shop: Shop, code: str) -> None:
        explained = problem_types.explain(code)
        assert explained
        assert shop.get(f"/problems/{code}").raise_for_status().json() == explained.as_dict()
        assert f"<code>{code}</code>" in page(shop, f"/problems/{code}")

    def test_is_the_address_in_an_answer(self, shop: Shop) -> None:
        refused = shop.get("/api/v1/orders")
        found = shop.get(urlsplit(refused.json()["type"]).path).raise_for_status().json()
        assert (found["code"], found["status"]) == ("token_missing", refused.status_code)

    def test_is_not_found_for_a_code_that_no_answer_has(self, shop: Shop) -> None:
        answer = shop.get("/problems/nothing_of_the_kind", headers=BROWSER)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
