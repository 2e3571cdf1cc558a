import re
import time
from collections.abc import Iterator
from datetime import timedelta

import httpx
import pytest

from pangaea.modules import RateLimit
from pangaea.testing import wait_until
from tests.gateway.edge import Edge, Service, declare, envoy, public

ORIGIN = "https://shop.example"
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
LARGEST = 1024 * 1024


class TestRateLimits:
    def test_are_shown_with_every_answer_and_end_in_a_problem(self, client: httpx.Client, shop: Service) -> None:
        answers = [client.get("/shop/till") for _ in range(4)]

        assert [each.status_code for each in answers] == [200, 200, 200, 429]
        assert {each.headers["ratelimit-policy"] for each in answers} == {'"gateway";q=3;w=3600'}
        # The bucket gains a token every 1,200 s: `t` is the time until it is full, or if it is empty until it has one.
        assert [each.headers["ratelimit"] for each in answers[:2]] == ['"gateway";r=2;t=1200', '"gateway";r=1;t=2400']
        assert [rest(each) for each in answers[2:]] == [0, 0]
        refused = answers[-1]
        assert 0 < int(refused.headers["retry-after"]) <= 1200
        assert refused.headers["ratelimit"].endswith(f";t={refused.headers['retry-after']}")
        assert refused.headers["cache-control"] == "no-store"
        assert refused.headers["content-type"] == "application/problem+json"
        assert (refused.json()["code"], refused.json()["status"]) == ("throttled", 429)
        assert refused.json()["violated-policies"] == ["gateway"]
        assert "retry-after" not in answers[0].headers
        assert len([each for each in shop.seen if each.path == "/shop/till"]) == 3

    def test_are_shown_after_those_of_the_service(self, client: httpx.Client) -> None:
        answer = client.get("/shop/limited")

        assert answer.headers.get_list("ratelimit-policy") == ['"day";q=9;w=86400, "gateway";q=6000;w=60']
        (state,) = answer.headers.get_list("ratelimit")
        assert re.fullmatch(r'"day";r=8;t=5, "gateway";r=59[0-9]{2};t=[0-9]+', state)

    def test_have_no_fields_of_an_older_draft(self, client: httpx.Client) -> None:
        answers = [client.get("/shop/stall") for _ in range(4)]

        assert {answers[0].status_code, answers[-1].status_code} == {200, 429}
        assert not [name for each in answers for name in each.headers if name.startswith("x-ratelimit")]

    def test_are_not_shown_where_nothing_was_counted(self, client: httpx.Client) -> None:
        for path in ("/nowhere", "/healthz", "/"):
            assert not {"ratelimit", "ratelimit-policy"} & client.get(path).headers.keys()

    def test_let_a_client_through_that_waits_as_it_is_told(self, client: httpx.Client) -> None:
        answers: list[httpx.Response] = []

        def refused() -> bool:
            answers.append(client.get("/shop/door"))
            return answers[-1].status_code == 429

        wait_until(refused, what="a refusal", seconds=30)

        time.sleep(int(answers[-1].headers["retry-after"]))

        assert client.get("/shop/door").status_code == 200

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

    def test_leaves_alone_what_has_a_strong_tag(self, client: httpx.Client) -> None:
        tagged = client.get("/shop/tagged", headers={"Accept-Encoding": "gzip"})

        assert "content-encoding" not in tagged.headers
        assert tagged.headers["etag"] == '"3-9f86d081884c7d65"'


class TestTraceContext:
    def test_is_passed_on_unchanged(self, client: httpx.Client, shop: Service) -> None:
        client.get("/shop", headers={"traceparent": TRACE, "tracestate": "vendor=1"})

        assert shop.seen[-1].headers["traceparent"] == TRACE
        assert shop.seen[-1].headers["tracestate"] == "vendor=1"


def rest(answer: httpx.Response) -> int:
    """The requests that the gateway still allows."""
    found = re.fullmatch(r'"gateway";r=([0-9]+);t=[0-9]+', answer.headers["ratelimit"])
    assert found, answer.headers
    return int(found[1])


@pytest.fixture(scope="module")
def edge(shop: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    three = RateLimit(requests=3, per=timedelta(hours=1))
    limited = [public(f"/shop/{name}", rate_limit=three) for name in ("till", "counter", "desk", "stall")]
    door = public("/shop/door", rate_limit=RateLimit(requests=2, per=timedelta(seconds=1.5)))
    declared = [declare("shop", public("/shop"), door, *limited)]
    with envoy(tmp_path_factory.mktemp("limits"), declared, upstreams={"shop": shop.address}) as edge:
        edge.wait_for("/shop")
        yield edge


@pytest.fixture
def client(edge: Edge) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=edge.url, timeout=20, trust_env=False) as client:
        yield client
