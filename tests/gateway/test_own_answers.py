"""The answers that the gateway gives itself, without a service: what each has in common with the services' answers."""

import json
import re
import socket
from collections.abc import Iterator
from contextlib import suppress
from datetime import date, timedelta
from http.client import HTTPMessage, HTTPResponse

import pytest
from openapi_schema_validator import OAS31Validator

from pangaea.api import problem_types
from pangaea.api.openapi.problems import SCHEMA as PROBLEM
from pangaea.modules import Deprecation, RateLimit, Route
from pangaea.testing import free_port
from tests.gateway.edge import HOST, KEYS, Edge, Service, declare, envoy, public

HEAD = "Host: shop\r\nConnection: close\r\n"
ID = "0A000AE6:B220_AC110002:01BB"

ENDS = Deprecation(since=date(2026, 1, 1), sunset=date(2026, 7, 1), successor="/shop/v2", changes=("All of it.",))
REFUSED = {
    "bytes of TLS": ("\x16\x03\x01\x02\x00\r\n\r\n", 400, "malformed_request"),
    "no Host": ("GET /shop HTTP/1.1\r\nConnection: close\r\n\r\n", 400, "malformed_request"),
    "an unreadable Host": ("GET /shop HTTP/1.1\r\nHost: a b/c\r\nConnection: close\r\n\r\n", 400, "unknown_host"),
    "an escaped slash": (f"GET /shop%2Fa HTTP/1.1\r\n{HEAD}\r\n", 400, "malformed_url"),
    "a null character": (f"GET /shop%00 HTTP/1.1\r\n{HEAD}\r\n", 400, "malformed_url"),
    "a fragment": (f"GET /shop#a HTTP/1.1\r\n{HEAD}\r\n", 400, "malformed_url"),
    "no token": (f"GET /till HTTP/1.1\r\n{HEAD}\r\n", 401, "token_missing"),
    "another scheme": (f"GET /till HTTP/1.1\r\n{HEAD}Authorization: Basic dTpw\r\n\r\n", 401, "token_missing"),
    "a scheme without a token": (f"GET /till HTTP/1.1\r\n{HEAD}Authorization: Bearer\r\n\r\n", 401, "token_invalid"),
    "a scheme in any case": (f"GET /till HTTP/1.1\r\n{HEAD}Authorization: bEaReR a.b.c\r\n\r\n", 401, "token_invalid"),
    "no module's path": (f"GET /nowhere HTTP/1.1\r\n{HEAD}\r\n", 404, "not_found"),
    "a tunnel": (f"CONNECT shop:80 HTTP/1.1\r\n{HEAD}\r\n", 400, "malformed_request"),
    "a long address": (f"GET /till?{'a' * 5000} HTTP/1.1\r\n{HEAD}\r\n", 414, "url_too_long"),
    "a large header": (f"GET /till HTTP/1.1\r\n{HEAD}X-A: {'a' * 9000}\r\n\r\n", 431, "header_too_large"),
    "a large body": (
        f"POST /shop HTTP/1.1\r\n{HEAD}Content-Length: 1048577\r\n\r\n{' ' * 1048577}",
        413,
        "body_too_large",
    ),
    "too many requests": (f"GET /rare HTTP/1.1\r\n{HEAD}\r\n", 429, "throttled"),
    "large headers": (f"GET /shop HTTP/1.1\r\n{HEAD}X-A: {'a' * 70_000}\r\n\r\n", 431, "header_too_large"),
    "an unknown coding": (
        f"POST /shop HTTP/1.1\r\n{HEAD}Transfer-Encoding: gzip\r\n\r\n",
        501,
        "unknown_transfer_coding",
    ),
    "an interrupted service": (f"GET /shop/hang-up HTTP/1.1\r\n{HEAD}\r\n", 502, "interrupted"),
    "no service": (f"GET /idle HTTP/1.1\r\n{HEAD}\r\n", 503, "unavailable"),
}
UNREAD = {
    *("bytes of TLS", "no Host", "an unreadable Host", "large headers", "an unknown coding"),
    *("an escaped slash", "a null character", "a fragment"),
}
"""Requests that are refused before they have an id."""


class TestAnAnswerOfTheGateway:
    @pytest.mark.parametrize("name", REFUSED)
    def test_is_a_problem_that_the_documents_describe(self, edge: Edge, name: str) -> None:
        sent, status, code = REFUSED[name]

        answered, headers, body = exchange(edge, sent)

        assert (answered, headers.get_all("content-type")) == (status, ["application/problem+json"])
        problem = json.loads(body)
        assert [error.message for error in OAS31Validator(dict(PROBLEM)).iter_errors(problem)] == []
        assert (problem["status"], problem["code"], problem["type"]) == (status, code, f"/problems/{code}")
        assert problem["code"] in problem_types.SHARED
        assert headers.get_all("content-security-policy") == ["default-src 'none'; frame-ancestors 'none'"]
        assert headers.get_all("cache-control") == ["no-store"]

    def test_has_the_id_under_which_it_is_logged(self, edge: Edge) -> None:
        answers = {name: exchange(edge, sent) for name, (sent, _, _) in REFUSED.items() if name not in UNREAD}

        for status, headers, body in answers.values():
            id_ = json.loads(body)["correlation_id"]
            assert headers.get_all("x-correlation-id") == [id_]
            assert edge.logged(id_)["status"] == status

    def test_repeats_the_callers_id(self, edge: Edge) -> None:
        _, headers, body = exchange(edge, f"GET /nowhere HTTP/1.1\r\n{HEAD}X-Request-ID: {ID}\r\n\r\n")

        assert headers["x-correlation-id"] == json.loads(body)["correlation_id"] == ID


class TestAnAnswerOnADeprecatedRoute:
    @pytest.mark.parametrize(
        ("route", "target", "wanted"),
        [
            ("/shop/v1/till", "/shop/v1/till/1", 401),
            ("/shop/v1/till", f"/shop/v1/till?{'a' * 5000}", 414),
            ("/shop/v1/rare", "/shop/v1/rare", 429),
            ("/shop/v1", "/shop/v1/hang-up", 502),
        ],
    )
    def test_announces_the_end_of_the_route(self, edge: Edge, route: str, target: str, wanted: int) -> None:
        # The limit of one of them is a single request.
        _, (status, headers, _) = [exchange(edge, f"GET {target} HTTP/1.1\r\n{HEAD}\r\n") for _ in range(2)]

        assert status == wanted
        assert headers.get_all("deprecation") == ["@1767225600"]
        assert headers.get_all("sunset") == ["Wed, 01 Jul 2026 00:00:00 GMT"]
        links = f'</shop/v2>; rel="successor-version", </deprecations{route}>; rel="deprecation"'
        assert headers.get_all("link") == [links]

    def test_is_left_to_a_service_that_answers(self, edge: Edge) -> None:
        _, headers, _ = exchange(edge, f"GET /shop/v1 HTTP/1.1\r\n{HEAD}\r\n")

        assert not {"deprecation", "sunset", "link"} & {name.lower() for name in headers}

    def test_on_another_route_announces_nothing(self, edge: Edge) -> None:
        _, headers, _ = exchange(edge, f"GET /till HTTP/1.1\r\n{HEAD}\r\n")

        assert not {"deprecation", "sunset", "link"} & {name.lower() for name in headers}


class TestItsOwnHealth:
    @pytest.mark.parametrize("version", ["1.0", "1.1"])
    def test_is_a_plain_ok(self, edge: Edge, version: str) -> None:
        status, headers, body = exchange(edge, f"GET /healthz HTTP/{version}\r\n{HEAD}\r\n")

        assert (status, body) == (200, b"ok")
        assert headers["content-type"] == "text/plain; charset=utf-8"
        assert headers["cache-control"] == "no-store"

    def test_is_answered_without_a_host_to_http_1_0(self, edge: Edge) -> None:
        assert exchange(edge, "GET /healthz HTTP/1.0\r\n\r\n")[0] == 200

    def test_has_no_body_for_head(self, edge: Edge) -> None:
        assert exchange(edge, f"HEAD /healthz HTTP/1.1\r\n{HEAD}\r\n")[2] == b""


class TestARequest:
    """What is passed on, though Envoy would refuse it by default."""

    def test_of_http_1_0_is_answered(self, edge: Edge) -> None:
        status, _, body = exchange(edge, "GET /shop HTTP/1.0\r\n\r\n")

        assert (status, json.loads(body)["headers"]["host"]) == (200, HOST)

    @pytest.mark.parametrize("protocol", ["websocket", "h2c"])
    def test_for_another_protocol_is_answered_without_it(self, edge: Edge, protocol: str) -> None:
        upgrade = f"Host: shop\r\nConnection: close, Upgrade\r\nUpgrade: {protocol}\r\n\r\n"
        status, _, body = exchange(edge, f"GET /shop HTTP/1.1\r\n{upgrade}")

        assert status == 200
        assert not {"upgrade", "http2-settings"} & json.loads(body)["headers"].keys()


class TestAnId:
    """One rule for the gateway and the services (`pangaea.telemetry.correlation`): both log a request under one id."""

    @pytest.mark.parametrize(
        ("sent", "logged"),
        [
            ({"X-Request-ID": ID}, ID),
            ({"X-Correlation-ID": ID}, ID),
            ({"X-Correlation-ID": "caller-1", "X-Request-ID": "caller-3"}, "caller-1"),
            ({"X-Correlation-ID": "a b", "X-Request-ID": "caller-2"}, "caller-2"),
            ({"X-Correlation-ID": "a" * 128}, "a" * 128),
            ({"X-Correlation-ID": "a" * 129}, None),
            ({"X-Request-ID": 'a"b'}, None),
            ({"X-Request-ID": ""}, None),
            ({"X-Valid-ID": "a"}, None),
        ],
    )
    def test_is_kept_only_if_a_service_keeps_it(self, edge: Edge, sent: dict[str, str], logged: str | None) -> None:
        fields = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
        _, headers, body = exchange(edge, f"GET /shop HTTP/1.1\r\n{HEAD}{fields}\r\n")

        passed = json.loads(body)["headers"]
        id_ = passed["x-correlation-id"]
        assert "x-valid-id" not in passed
        assert edge.logged(id_)["correlation_id"] == id_
        assert id_ == logged if logged else re.fullmatch(r"[0-9a-f-]{36}", id_)
        assert headers["x-request-id"] == passed["x-request-id"]

    def test_that_is_sent_twice_is_none(self, edge: Edge) -> None:
        twice = "X-Correlation-ID: caller-1\r\nX-Correlation-ID: caller-2\r\n"
        _, _, body = exchange(edge, f"GET /shop HTTP/1.1\r\n{HEAD}{twice}\r\n")

        assert json.loads(body)["headers"]["x-correlation-id"] not in {"caller-1", "caller-2", "caller-1,caller-2"}


def exchange(edge: Edge, sent: str) -> tuple[int, HTTPMessage, bytes]:
    """Status, headers and body of the answer to these bytes. The gateway closes the connection a second later."""
    with socket.create_connection((HOST, edge.port), timeout=20) as connection:
        with suppress(OSError):  # it may refuse the request before it has read all of it
            connection.sendall(sent.encode("latin-1"))
        answer = HTTPResponse(connection, method=sent.partition(" ")[0])
        answer.begin()
        return answer.status, answer.headers, answer.read()


@pytest.fixture(scope="module")
def edge(shop: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    rarely = RateLimit(requests=1, per=timedelta(hours=1))
    declared = [
        declare(
            "shop",
            *(public("/shop"), public("/rare", rate_limit=rarely), "/till", public(KEYS)),
            *(public("/shop/v1", deprecation=ENDS), public("/shop/v1/rare", rate_limit=rarely, deprecation=ENDS)),
            *(Route("/shop/v1/till", urlconf="sample", deprecation=ENDS), public("/shop/v2")),
        ),
        declare("idle", public("/idle")),
    ]
    upstreams = {"shop": shop.address, "idle": f"{HOST}:{free_port()}"}
    with envoy(tmp_path_factory.mktemp("own-answers"), declared, upstreams=upstreams) as edge:
        edge.wait_for("/shop", KEYS, "/rare")
        yield edge
