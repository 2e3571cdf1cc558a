import http.client
import json
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import httpx
import pytest

from pangaea.testing import free_port, wait_until
from tests.gateway.edge import Edge, Service, declare, envoy, services


class TestEdge:
    """A real Envoy before three services that run and a fourth that does not."""

    @pytest.mark.parametrize(
        ("path", "service"),
        [
            ("/api/v1/shop", "shop"),
            ("/api/v1/shop?page=2", "shop"),
            ("/api/v1/shop/a/b", "shop"),
            ("/api/v1/shop/stats", "stats"),
            ("/.well-known/keys.json", "store"),
            ("/api/schema/store/", "store"),
        ],
    )
    def test_routes_a_path_to_the_module_that_declared_it(self, edge: httpx.Client, path: str, service: str) -> None:
        answer = edge.get(path)

        assert answer.status_code == 200
        assert answer.json()["service"] == service
        assert answer.json()["path"] == path

    @pytest.mark.parametrize("path", ["/nothing", "/api/v1/shopping", "/api/v1/sho", "/api/v1", "/readyz"])
    def test_answers_404_with_a_problem_where_no_module_declared_the_path(self, edge: httpx.Client, path: str) -> None:
        answer = edge.get(path, headers={"x-request-id": "abc-1"})

        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json() == {
            "type": "/problems/not_found",
            "title": "Not found",
            "status": 404,
            "detail": "No service answers at this address.",
            "instance": path,
            "code": "not_found",
            "correlation_id": "abc-1",
        }

    def test_answers_503_with_a_problem_when_the_service_is_down(self, edge: httpx.Client) -> None:
        answer = edge.get("/idle")

        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["retry-after"] == "1"

    @pytest.mark.parametrize(("path", "status"), [("/api/v1/shop", 200), ("/nowhere", 404), ("/idle", 503)])
    def test_gives_every_routed_answer_a_content_security_policy(
        self, edge: httpx.Client, path: str, status: int
    ) -> None:
        answer = edge.get(path)

        assert answer.status_code == status
        assert answer.headers.get_list("content-security-policy") == ["default-src 'none'; frame-ancestors 'none'"]

    @pytest.mark.parametrize("path", ["/api/v1/shop%2Fstats", "/api/v1/shop%5C..%5Cstore"])
    def test_refuses_an_escaped_slash(self, edge: httpx.Client, path: str) -> None:
        connection = http.client.HTTPConnection(edge.base_url.host, edge.base_url.port or 0, timeout=10)
        connection.request("GET", path)
        answer = connection.getresponse()

        assert (answer.status, json.loads(answer.read())["code"]) == (400, "malformed_url")
        connection.close()

    @pytest.mark.parametrize(
        "name",
        ["X-User-Id", "X-User-Scopes", "X-Forwarded-Client-Cert", "X-Forwarded-Host", "X_User_Id", "x-envoy-internal"],
    )
    def test_removes_headers_that_claim_an_identity(self, edge: httpx.Client, name: str) -> None:
        seen = edge.get("/api/v1/shop", headers={name: "forged"}).json()["headers"]

        assert "forged" not in seen.values()

    def test_passes_the_token_on(self, edge: httpx.Client) -> None:
        seen = edge.get("/api/v1/shop", headers={"Authorization": "Bearer abc"}).json()["headers"]

        assert seen["authorization"] == "Bearer abc"

    def test_passes_on_the_real_address_of_the_client(self, edge: httpx.Client) -> None:
        forged = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}
        seen = edge.get("/api/v1/shop", headers=forged).json()["headers"]

        assert ip_address(seen["x-forwarded-for"]) != ip_address("203.0.113.9")
        assert seen["x-forwarded-proto"] == "http"

    def test_keeps_a_request_id_and_makes_one_where_there_is_none(self, edge: httpx.Client) -> None:
        passed = edge.get("/api/v1/shop", headers={"x-request-id": "abc-2"})
        made = edge.get("/api/v1/shop")

        assert passed.headers["x-request-id"] == passed.json()["headers"]["x-request-id"] == "abc-2"
        assert made.headers["x-request-id"] == made.json()["headers"]["x-request-id"] != ""

    def test_gives_a_request_without_correlation_id_the_id_of_the_request(self, edge: httpx.Client) -> None:
        ids = {"x-request-id": "abc-4", "x-correlation-id": "abc-5"}
        made = edge.get("/api/v1/shop", headers={"x-request-id": "abc-4"}).json()["headers"]
        passed = edge.get("/api/v1/shop", headers=ids).json()["headers"]

        assert made["x-correlation-id"] == "abc-4"
        assert passed["x-correlation-id"] == "abc-5"
        assert edge.get("/nowhere", headers=ids).json()["correlation_id"] == "abc-5"

    def test_logs_a_request_as_one_line_of_json_without_its_query(self, edge: httpx.Client, access_log: Path) -> None:
        edge.get("/api/v1/shop/secret?token=abc", headers={"x-request-id": "abc-3"})

        line = wait_until(
            lambda: next((text for text in access_log.read_text().splitlines() if "abc-3" in text), ""),
            what="the access log",
        )
        entry = json.loads(line)
        assert (entry["path"], entry["status"], entry["module"]) == ("/api/v1/shop/secret", 200, "shop")
        assert "token" not in line

    def test_sends_nothing_to_a_service_that_is_not_ready(
        self, edge: httpx.Client, running: dict[str, Service]
    ) -> None:
        running["stats"].ready = False
        wait_until(lambda: edge.get("/api/v1/shop/stats").status_code == 503, what="the service to be taken out")
        running["stats"].ready = True
        wait_until(lambda: edge.get("/api/v1/shop/stats").status_code == 200, what="the service to be taken back")


@pytest.fixture(scope="module")
def running() -> Iterator[dict[str, Service]]:
    with services("shop", "stats", "store") as started:
        yield started


@pytest.fixture(scope="module")
def started(running: dict[str, Service], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    declared = [
        declare("shop", "/api/v1/shop"),
        declare("stats", "/api/v1/shop/stats"),
        declare("store", "/store", "/.well-known/keys.json"),
        declare("idle", "/idle"),
    ]
    addresses = {name: each.address for name, each in running.items()} | {"idle": f"127.0.0.1:{free_port()}"}
    with envoy(tmp_path_factory.mktemp("edge"), declared, upstreams=addresses) as edge:
        edge.wait_for("/api/v1/shop", "/api/v1/shop/stats", "/store")
        yield edge


@pytest.fixture(scope="module")
def access_log(started: Edge) -> Path:
    return started.access_log


@pytest.fixture(scope="module")
def edge(started: Edge) -> Iterator[httpx.Client]:
    """A client of the gateway, after every running service was found ready."""
    with httpx.Client(base_url=started.url, timeout=10, trust_env=False) as client:
        yield client
