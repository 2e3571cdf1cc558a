"""Web pages of other origins (CORS), as browsers send their requests: the setting CORS_ORIGINS at the gateway."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import httpx
import pytest
from django.conf import settings

from pangaea.api import cross_origin
from tests.browser import browser
from tests.gateway.edge import KEYS, Service, declare, envoy, public

ORIGIN = "https://shop.example"
ASKING = {
    "Origin": ORIGIN,
    "Access-Control-Request-Method": "PATCH",
    "Access-Control-Request-Headers": "authorization,baggage,content-type,sentry-trace",
}
PATHS = ["/shop", "/till"]
"""One without and one with tokens."""


class TestAnAllowedOrigin:
    @pytest.mark.parametrize("path", PATHS)
    def test_gets_permission_from_the_gateway(self, client: httpx.Client, shop: Service, path: str) -> None:
        before = len(shop.seen)

        answer = client.options(path, headers=ASKING)

        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        assert "PATCH" in answer.headers["access-control-allow-methods"].split(", ")
        assert answer.headers["access-control-allow-headers"].split(", ") == list(cross_origin.REQUEST_HEADERS)
        assert answer.headers["access-control-max-age"] == "600"
        assert "access-control-allow-credentials" not in answer.headers
        assert answer.headers["cache-control"] == "no-store"
        assert len(shop.seen) == before

    @pytest.mark.parametrize(("path", "status"), [("/shop", 200), ("/till", 401)])
    def test_may_read_every_answer_and_its_headers(self, client: httpx.Client, path: str, status: int) -> None:
        answer = client.get(path, headers={"Origin": ORIGIN})

        assert answer.status_code == status
        assert answer.headers.get_list("access-control-allow-origin") == [ORIGIN]
        exposed = answer.headers["access-control-expose-headers"].split(", ")
        assert {"ratelimit", "ratelimit-policy", "x-correlation-id", "www-authenticate"} <= set(exposed)
        assert not [each for each in exposed if each.startswith("x-ratelimit")]


class TestAnotherOrigin:
    @pytest.mark.parametrize("origin", ["https://evil.example", f"{ORIGIN}.evil.example", f"{ORIGIN}:8443", "null"])
    @pytest.mark.parametrize("path", PATHS)
    def test_gets_an_answer_without_permission(self, client: httpx.Client, path: str, origin: str) -> None:
        preflight = client.options(path, headers=ASKING | {"Origin": origin})
        read = client.get(path, headers={"Origin": origin})

        assert preflight.status_code == 200, "a preflight has no token, so that none can be missing"
        assert preflight.headers["cache-control"] == "no-store"
        for answer in (preflight, read):
            assert "access-control-allow-origin" not in answer.headers


class TestByDefault:
    def test_no_origin_is_allowed(self, shop: Service, tmp_path_factory: pytest.TempPathFactory) -> None:
        with gateway(shop, tmp_path_factory) as client:
            answer = client.options("/till", headers=ASKING)

        assert answer.status_code == 200
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.full  # starts a browser
class TestABrowser:
    HEADERS = "{authorization: 'Bearer x', baggage: 'a=b', 'sentry-trace': '1', 'x-correlation-id': 'page-1'}"

    def test_reads_what_its_page_may_read(self, shop: Service, tmp_path_factory: pytest.TempPathFactory) -> None:
        """The page is one of the service's own address, which is another origin than the gateway's."""
        origin = f"http://{shop.address}"
        with (
            gateway(shop, tmp_path_factory, origin) as allowed,
            gateway(shop, tmp_path_factory) as other,
            browser(tmp_path_factory.mktemp("chromium"), hosts={}) as page,
        ):
            page.open(f"{origin}/page")

            def fetch(client: httpx.Client) -> str:
                read = "answer => `${answer.status} ${answer.headers.get('x-correlation-id')}`, error => error.name"
                url = client.base_url.join("/till")
                text: str = page.evaluate(f"fetch('{url}', {{headers: {self.HEADERS}}}).then({read})")
                return text

            assert fetch(allowed) == "401 page-1"
            assert fetch(other) == "TypeError", "the browser withholds the answer"


@contextmanager
def gateway(shop: Service, folders: pytest.TempPathFactory, *origins: str) -> Iterator[httpx.Client]:
    installation = replace(settings.PANGAEA, cors_origins=origins)
    declared = [declare("shop", public("/shop"), "/till", public(KEYS))]
    upstreams = {"shop": shop.address}
    with envoy(folders.mktemp("origins"), declared, upstreams=upstreams, installation=installation) as edge:
        edge.wait_for("/shop")
        with httpx.Client(base_url=edge.url, timeout=20, trust_env=False) as client:
            yield client


@pytest.fixture(scope="module")
def client(shop: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with gateway(shop, tmp_path_factory, ORIGIN) as found:
        yield found
