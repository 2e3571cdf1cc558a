from collections.abc import Iterator
from datetime import timedelta

import httpx
import pytest

from pangaea.modules import RateLimit
from tests.gateway.edge import Edge, Service, declare, envoy, public

ORIGIN = "https://shop.example"
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
LARGEST = 1024 * 1024


class TestRateLimits:
    def test_are_shown_with_every_answer_and_end_in_a_problem(self, client: httpx.Client, shop: Service) -> None:
        answers = [client.get("/shop/till") for _ in range(4)]

        assert [each.status_code for each in answers] == [200, 200, 200, 429]
        assert [each.headers["x-ratelimit-limit"].split(",")[0] for each in answers] == ["3"] * 4
        assert [each.headers["x-ratelimit-remaining"] for each in answers] == ["2", "1", "0", "0"]
        refused = answers[-1]
        assert int(refused.headers["x-ratelimit-reset"]) > 0
        assert refused.headers["retry-after"] == "1200", "three an hour"
        assert refused.headers["content-type"] == "application/problem+json"
        assert (refused.json()["code"], refused.json()["status"]) == ("throttled", 429)
        assert "retry-after" not in answers[0].headers
        assert len([each for each in shop.seen if each.path == "/shop/till"]) == 3

    def test_of_one_route_leave_another_alone(self, client: httpx.Client) -> None:
        assert [client.get("/shop/counter").status_code for _ in range(4)] == [200, 200, 200, 429]
        assert client.get("/shop").status_code == 200

    def test_count_reads_and_writes_apart(self, client: httpx.Client) -> None:
        assert [client.get("/shop/desk").status_code for _ in range(4)] == [200, 200, 200, 429]
        assert client.post("/shop/desk").status_code == 200


class TestBodies:
    def test_up_to_the_limit_arrive_whole(self, client: httpx.Client, shop: Service) -> None:
        body = b"x" * (LARGEST - 1)

        assert client.post("/shop", content=body).status_code == 200
        assert shop.seen[-1].body == body

    @pytest.mark.parametrize("chunked", [False, True])
    def test_beyond_it_are_refused(self, client: httpx.Client, shop: Service, chunked: bool) -> None:
        before = len(shop.seen)
        body = b"x" * (LARGEST + 1)

        answer = client.post("/shop", content=iter([body]) if chunked else body)

        assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
        assert answer.headers["content-type"] == "application/problem+json"
        assert len(shop.seen) == before


class TestCompression:
    def test_is_for_long_answers_to_clients_that_accept_it(self, client: httpx.Client) -> None:
        long = client.get("/shop/long", headers={"Accept-Encoding": "gzip"})

        assert long.headers["content-encoding"] == "gzip"
        assert long.headers["vary"] == "Accept-Encoding"
        assert long.json()["service"] == "shop"
        assert "content-encoding" not in client.get("/shop", headers={"Accept-Encoding": "gzip"}).headers
        assert "content-encoding" not in client.get("/shop/long", headers={"Accept-Encoding": "identity"}).headers


class TestTraceContext:
    def test_is_passed_on_unchanged(self, client: httpx.Client, shop: Service) -> None:
        client.get("/shop", headers={"traceparent": TRACE, "tracestate": "vendor=1"})

        assert shop.seen[-1].headers["traceparent"] == TRACE
        assert shop.seen[-1].headers["tracestate"] == "vendor=1"


@pytest.fixture(scope="module")
def edge(shop: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    three = RateLimit(requests=3, per=timedelta(hours=1))
    limited = [public(f"/shop/{name}", rate_limit=three) for name in ("till", "counter", "desk")]
    declared = [declare("shop", public("/shop"), *limited)]
    with envoy(tmp_path_factory.mktemp("limits"), declared, upstreams={"shop": shop.address}) as edge:
        edge.wait_for("/shop")
        yield edge


@pytest.fixture
def client(edge: Edge) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=edge.url, timeout=20, trust_env=False) as client:
        yield client
