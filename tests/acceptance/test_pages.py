"""The pages in a real browser: they work under their Content-Security-Policy, and store no secret."""

import json
from collections.abc import Iterator

import pytest

from pangaea.api.content_security import POLICY
from pangaea.pages.start import OPERATOR, PASSWORD
from tests.acceptance import topologies
from tests.acceptance.topologies import Deployment
from tests.browser import Browser, browser

pytestmark = pytest.mark.full

NAME = "shop.example"
"""A deployment's name: at 127.0.0.1 and localhost Swagger UI and browsers are less strict."""
INLINE = """
    const script = document.createElement("script");
    script.textContent = "window.ran = true";
    document.body.append(script);
    const picture = document.createElement("img");
    picture.setAttribute("onerror", "window.ran = true");
    picture.src = "data:,";
    document.body.append(picture);
    new Promise((done) => picture.addEventListener("error", () => done(window.ran === true)));
"""
CONTRAST = """
    (() => {
        const light = (colour) => {
            const parts = colour.match(/[0-9.]+/g).slice(0, 3).map((part) => part / 255)
                .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
            return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
        };
        const page = light(getComputedStyle(document.body).backgroundColor);
        return Math.min(...[...document.querySelectorAll("h1, p, a, th, td, dt, dd, code")].map((element) => {
            const text = light(getComputedStyle(element).color);
            return (Math.max(text, page) + 0.05) / (Math.min(text, page) + 0.05);
        }));
    })()
"""
"""The lowest contrast of a text to the page (WCAG 2.2, 1.4.3)."""
READABLE = 4.5
TYPE_TOKEN = """
    const field = document.querySelector(".auth-container input");
    const setter = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value").set;
    setter.call(field, "secret-token");
    field.dispatchEvent(new Event("input", {bubbles: true}));
    document.querySelector(".auth-btn-wrapper .authorize").click();
"""
ADMIN_PAGES = (
    "/admin/",
    "/admin/orders/product/",
    "/admin/orders/product/add/",
    "/admin/pangaea/stream/",
    "/admin/pangaea/deadletter/",
    "/admin/pangaea/apicalls/",
    "/admin/ops/operator/",
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with topologies.local(tmp_path_factory.mktemp("pages"), host=NAME) as deployment:
        yield deployment


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("chromium"), hosts={NAME: topologies.HOST}) as page:
        yield page


@pytest.fixture(scope="module")
def admin(site: Deployment, chromium: Browser) -> Browser:
    """The browser, logged in by the form."""
    chromium.open(f"{site.base_url}/admin/login/")
    assert chromium.complaints == []
    fields = {"username": OPERATOR, "password": PASSWORD}
    for name, value in fields.items():
        chromium.evaluate(f"document.querySelector('[name={name}]').value = {json.dumps(value)}")
    chromium.follow("document.querySelector('form[action*=login] [type=submit], #login-form [type=submit]').click()")
    assert chromium.evaluate("location.pathname") == "/admin/"
    return chromium


@pytest.fixture
def documents(site: Deployment, chromium: Browser) -> Browser:
    """The browser at the page of the whole API, once it is rendered."""
    chromium.open(f"{site.base_url}/api/docs/")
    chromium.wait_for("document.querySelectorAll('.opblock').length")
    return chromium


class TestTheAdmin:
    @pytest.mark.parametrize("path", ADMIN_PAGES)
    def test_breaks_no_policy(self, site: Deployment, admin: Browser, path: str) -> None:
        admin.open(site.base_url + path)

        assert admin.evaluate("location.pathname") == path
        assert admin.wait_for("typeof Alpine") == "object"
        assert admin.complaints == []

    def test_breaks_no_policy_at_a_row(self, site: Deployment, admin: Browser) -> None:
        admin.open(f"{site.base_url}/admin/orders/product/")
        admin.follow("document.querySelector('#result_list a[href*=\"/change/\"]').click()")

        assert admin.evaluate("location.pathname").endswith("/change/")
        assert admin.complaints == []

    def test_runs_no_script_that_was_written_into_a_page(self, site: Deployment, admin: Browser) -> None:
        admin.open(f"{site.base_url}/admin/")

        assert admin.evaluate(INLINE) is False
        assert any("Content Security Policy" in each for each in admin.complaints)

    def test_would_run_it_without_the_policy(self, site: Deployment, admin: Browser) -> None:
        admin.call("Page.setBypassCSP", enabled=True)
        try:
            admin.open(f"{site.base_url}/admin/")
            assert admin.evaluate(INLINE) is True
        finally:
            admin.call("Page.setBypassCSP", enabled=False)


class TestAPageOfTheKernel:
    @pytest.mark.parametrize(
        "path", ["/", "/problems/token_missing", "/problems/out_of_stock", "/deprecations/api/v1/orders"]
    )
    @pytest.mark.parametrize("scheme", ["light", "dark"])
    @pytest.mark.parametrize("width", [360, 1280])
    def test_breaks_no_policy_and_is_as_wide_as_the_window(
        self, site: Deployment, chromium: Browser, path: str, scheme: str, width: int
    ) -> None:
        chromium.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        chromium.call("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=False)
        try:
            chromium.open(site.base_url + path)
            assert chromium.complaints == []
            assert chromium.evaluate("document.querySelectorAll('h1').length") == 1
            # The window is narrower by its scroll bar.
            size = "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
            needed, there = chromium.evaluate(size)
            assert needed <= there <= width
            assert chromium.evaluate(CONTRAST) >= READABLE
        finally:
            chromium.call("Emulation.clearDeviceMetricsOverride")
            chromium.call("Emulation.setEmulatedMedia", features=[])

    def test_has_a_walk_from_the_address_of_the_page(self, site: Deployment, chromium: Browser) -> None:
        chromium.open(f"{site.base_url}/")
        assert chromium.evaluate("document.querySelector('pre').textContent").startswith(f"URL={site.base_url}\n")

    def test_runs_no_script_that_was_written_into_it(self, site: Deployment, chromium: Browser) -> None:
        chromium.open(f"{site.base_url}/")
        assert chromium.evaluate(INLINE) is False


class TestTheDocuments:
    @pytest.mark.parametrize("path", ["/api/docs/", "/api/docs/orders/"])
    def test_break_no_policy(self, site: Deployment, chromium: Browser, path: str) -> None:
        chromium.open(site.base_url + path)
        chromium.wait_for("document.querySelectorAll('.opblock').length")
        chromium.evaluate("document.querySelector('.opblock-summary-control').click()")
        chromium.wait_for("document.querySelectorAll('.opblock-body').length")

        assert chromium.complaints == []

    def test_run_no_script_that_was_written_into_a_page_and_evaluate_no_text(self, documents: Browser) -> None:
        assert documents.evaluate(INLINE) is False
        assert documents.evaluate("try { setTimeout('window.ran = true', 0) } catch { } window.ran") is None
        assert any("Content Security Policy" in each for each in documents.complaints)

    def test_keep_no_access_token(self, site: Deployment, documents: Browser) -> None:
        documents.evaluate("document.querySelector('.btn.authorize').click()")
        documents.wait_for("document.querySelector('.auth-container input') !== null")
        documents.evaluate(f"{{ {TYPE_TOKEN} }}")
        documents.wait_for("document.querySelector('.btn.authorize.locked') !== null")

        stored = "JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])"
        assert "secret-token" not in documents.evaluate(stored)
        documents.open(f"{site.base_url}/api/docs/")
        documents.wait_for("document.querySelectorAll('.opblock').length")
        assert documents.evaluate("document.querySelector('.btn.authorize.locked')") is None

    def test_serve_files_with_the_policy_too(self, documents: Browser) -> None:
        answer = "fetch('/static/pangaea/documents.js').then((file) => file.headers.get('Content-Security-Policy'))"
        assert documents.evaluate(answer) == POLICY


class TestAFrame:
    @pytest.mark.parametrize("path", ["/admin/login/", "/api/docs/", "/api/v1/products"])
    def test_shows_no_page(self, site: Deployment, chromium: Browser, path: str) -> None:
        chromium.open(f"{site.base_url}/livez")
        chromium.evaluate(
            "new Promise((done) => { const frame = document.createElement('iframe');"
            f" frame.onload = done; frame.src = {json.dumps(path)}; document.body.append(frame); }})"
        )

        assert chromium.evaluate("document.querySelector('iframe').contentDocument") is None
        assert any("frame-ancestors 'none'" in each for each in chromium.complaints)
