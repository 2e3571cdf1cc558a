"""Web pages of other origins (CORS) where no gateway is before the process."""

import pytest
from django.test import Client, override_settings

from pangaea.api import cross_origin
from pangaea.configuration.validators import page_origin

ORIGIN = "https://shop.example"
ASKING = {
    "Origin": ORIGIN,
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,baggage,content-type,sentry-trace",
}
ORDERS = "/api/v1/orders"

pytestmark = pytest.mark.django_db(databases=["orders"])


class TestAPreflight:
    @pytest.mark.parametrize("path", [ORDERS, "/nowhere"])
    @override_settings(CORS_ALLOWED_ORIGINS=[ORIGIN])
    def test_of_an_allowed_origin_gets_permission(self, client: Client, path: str) -> None:
        answer = client.options(path, headers=ASKING)

        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        assert answer.headers["access-control-allow-headers"].split(", ") == list(cross_origin.REQUEST_HEADERS)
        assert answer.headers["access-control-max-age"] == "600"
        assert "access-control-allow-credentials" not in answer.headers
        assert answer.headers["x-correlation-id"]

    def test_gets_none_by_default(self, client: Client) -> None:
        answer = client.options(ORDERS, headers=ASKING)

        assert answer.status_code == 200, "a preflight has no token, so that none can be missing"
        assert not [name for name in answer.headers if name.lower().startswith("access-control-")]

    @override_settings(CORS_ALLOWED_ORIGINS=[ORIGIN])
    def test_of_the_admin_gets_none(self, client: Client) -> None:
        answer = client.options("/admin/login/", headers=ASKING)

        assert not [name for name in answer.headers if name.lower().startswith("access-control-")]


class TestAnAnswer:
    @pytest.mark.parametrize(("path", "status"), [("/api/v1/products", 200), (ORDERS, 401), ("/nowhere", 404)])
    @override_settings(CORS_ALLOWED_ORIGINS=[ORIGIN])
    def test_may_be_read_by_an_allowed_origin(self, client: Client, path: str, status: int) -> None:
        answer = client.get(path, headers={"Origin": ORIGIN})
        other = client.get(path, headers={"Origin": "https://evil.example"})

        assert answer.status_code == other.status_code == status
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        assert "x-correlation-id" in answer.headers["access-control-expose-headers"].split(", ")
        assert "access-control-allow-origin" not in other.headers
        assert "origin" in other.headers["vary"], "a cache must not give one origin the other's answer"


class TestTheSetting:
    @pytest.mark.parametrize(
        "text",
        [
            ORIGIN,
            "http://localhost:3000",
            "https://shop.example:8443",
            "http://[::1]:5173",
            "https://xn--bcher-kva.example",
        ],
    )
    def test_takes_an_origin_as_browsers_send_it(self, text: str) -> None:
        assert page_origin(text) == ""

    @pytest.mark.parametrize(
        "text",
        [
            *("*", "null", "shop.example", "//shop.example", "ftp://shop.example", "https://", "https://shop.example/"),
            *("https://Shop.example", "HTTPS://shop.example", "https://*.shop.example", "https://shop.example:443"),
            *(
                "http://shop.example:80",
                "https://u@shop.example",
                "https://b\u00fccher.example",
                "https://shop.example?a",
            ),
        ],
    )
    def test_refuses_what_no_browser_would_send(self, text: str) -> None:
        assert page_origin(text).startswith(f"has {text!r}: give each origin as browsers send it")
