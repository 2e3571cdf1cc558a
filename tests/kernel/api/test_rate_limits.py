"""Quotas of routes: who is counted, what the answers show, and what happens while Redis does not serve."""

import os
import re
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import psutil
import pytest
import redis
from django.urls import path
from pytest_django import Settings
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.test import APIClient
from rest_framework.views import APIView
from structlog.testing import capture_logs

from pangaea import caching, modules, testing
from pangaea.api import rate_limits
from pangaea.api.bodies import StrictIntegerField, StrictSerializer
from pangaea.errors import Conflict, Misconfigured
from pangaea.modules import Fails, Plan, Quota, Route
from pangaea.servers import valkey

pytestmark = pytest.mark.urls(__name__)

handler500 = "pangaea.api.fallback.server_error"

ADA, GRACE = UUID(int=1), UUID(int=2)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


class Body(StrictSerializer):
    number = StrictIntegerField(required=False)


class Open(APIView):
    permission_classes: Any = (AllowAny,)

    def get(self, request: Request) -> Response:
        match request.query_params.get("fail"):
            case "conflict":
                raise Conflict("taken", "It is taken.")
            case "bug":
                raise RuntimeError("a bug")
        return Response({})

    def post(self, request: Request) -> Response:
        return Response(Body.read(request))


class Closed(Open):
    permission_classes = (IsAuthenticated,)


urlpatterns = [path(name, Open.as_view()) for name in ("open", "open/below", "other", "strict", "free")]
urlpatterns += [path("own", Closed.as_view())]


def quota(name: str = "per_hour", requests: Any = 3, *, per: timedelta = HOUR, **others: Any) -> Quota:
    return Quota(f"shop:{name}", requests, per, **{"fails": Fails.OPEN, **others})


SHARED = quota("shared")
STRICT = quota("strict", 1000, fails=Fails.CLOSED)
OWN = (quota("own_changes", 2, changes_only=True), quota("own_per_day", {Plan.FREE: 4, Plan.PRO: 9}, per=DAY))


@pytest.fixture(autouse=True)
def routes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Routes of a module, which this file answers."""
    declared = {"/open": (SHARED,), "/other": (SHARED,), "/strict": (STRICT,), "/free": (), "/own": OWN}
    found = tuple(Route(each, __name__, public=True, quotas=quotas) for each, quotas in declared.items())
    monkeypatch.setattr(modules.installed()[0], "routes", found, raising=False)


@pytest.fixture
def client() -> APIClient:
    client = APIClient()
    client.raise_request_exception = False
    return client


def statuses(send: Callable[[], Any], count: int) -> list[int]:
    return [send().status_code for _ in range(count)]


class TestQuota:
    @pytest.mark.parametrize(
        "declare",
        [
            lambda: quota("Per Hour"),
            lambda: Quota("per_hour", 3, HOUR, Fails.OPEN),
            lambda: quota(requests=0),
            lambda: quota(requests={Plan.FREE: 1}),
            lambda: quota(requests={Plan.FREE: 1, Plan.PRO: 0}),
            lambda: quota(per=timedelta(seconds=1.5)),
            lambda: quota(per=timedelta(0)),
        ],
    )
    def test_that_cannot_work_is_refused(self, declare: Callable[[], Quota]) -> None:
        with pytest.raises(Misconfigured):
            declare()

    def test_applies_below_its_route_alone(self, client: APIClient) -> None:
        assert statuses(lambda: client.get("/open/below"), 3) == [200] * 3
        assert client.get("/open").status_code == 429
        assert client.get("/free").status_code == 200

    def test_of_two_routes_has_one_count(self, client: APIClient) -> None:
        assert [client.get(each).status_code for each in ("/open", "/other", "/open", "/other")] == [200] * 3 + [429]

    def test_of_changes_counts_no_reads(self) -> None:
        ada = testing.client_for(ADA)
        assert statuses(lambda: ada.post("/own"), 2) == [200] * 2
        assert ada.get("/own").status_code == 200
        assert ada.post("/own").status_code == 429

    def test_after_one_that_refuses_is_not_used(self) -> None:
        ada = testing.client_for(ADA)
        answers = [ada.post("/own") for _ in range(6)]
        assert [each.status_code for each in answers] == [200] * 2 + [429] * 4
        assert '"shop:own_per_day"' not in answers[-1].headers["RateLimit"]
        assert '"shop:own_per_day";r=1;' in ada.get("/own").headers["RateLimit"]

    def test_counts_each_of_simultaneous_requests(self) -> None:
        together = threading.Barrier(8)

        def send(_: int) -> int:
            together.wait()
            return APIClient().get("/open").status_code

        with ThreadPoolExecutor(8) as pool:
            assert Counter(pool.map(send, range(8))) == {200: 3, 429: 5}

    def test_is_multiplied_by_the_setting(self, client: APIClient, settings: Settings) -> None:
        settings.PANGAEA = replace(settings.PANGAEA, quota_factor=2)
        assert statuses(lambda: client.get("/open"), 7) == [200] * 6 + [429]


class TestTheFields:
    def test_are_in_every_answer(self, client: APIClient) -> None:
        answers = [
            client.get("/open?fail=conflict"),
            client.post("/open", {"number": "x"}),
            client.get("/open?fail=bug"),
        ]
        answers += [client.get("/open")]
        assert [each.status_code for each in answers] == [409, 400, 500, 429]
        assert {each.headers["RateLimit-Policy"] for each in answers} == {'"shop:shared";q=3;w=3600'}
        found = [re.fullmatch(r'"shop:shared";r=(\d);t=(\d+)', each.headers["RateLimit"]) for each in answers]
        assert [each and each[1] for each in found] == ["2", "1", "0", "0"]
        assert all(each and 0 < int(each[2]) <= 3601 for each in found)

    def test_name_each_quota_that_applies(self) -> None:
        answer = testing.client_for(ADA).post("/own")
        assert answer.headers["RateLimit-Policy"] == '"shop:own_changes";q=2;w=3600, "shop:own_per_day";q=4;w=86400'
        assert re.fullmatch(r'"shop:own_changes";r=1;t=\d+, "shop:own_per_day";r=3;t=\d+', answer.headers["RateLimit"])

    def test_are_missing_where_nothing_is_counted(self, client: APIClient) -> None:
        for answer in (client.get("/free"), client.get("/own"), client.get("/nowhere")):
            assert "RateLimit" not in answer.headers
            assert "RateLimit-Policy" not in answer.headers

    def test_of_a_refusal_agree_with_its_problem(self, client: APIClient) -> None:
        refused = [client.get("/open") for _ in range(4)][-1]
        problem = refused.json()
        assert refused.headers["Content-Type"] == "application/problem+json"
        assert (problem["status"], problem["code"]) == (429, "throttled")
        assert problem["violated-policies"] == ["shop:shared"]
        assert refused.headers["RateLimit"] == f'"shop:shared";r=0;t={refused.headers["Retry-After"]}'


class TestTheCaller:
    def test_is_the_subject_of_the_token(self) -> None:
        ada, again, grace = testing.client_for(ADA), testing.client_for(ADA), testing.client_for(GRACE)
        assert [each.post("/own").status_code for each in (ada, again, ada, grace)] == [200, 200, 429, 200]

    def test_loses_nothing_by_requests_without_a_valid_token(self, client: APIClient) -> None:
        bad = APIClient()
        bad.credentials(HTTP_AUTHORIZATION=f"Bearer {testing.access_token(ADA)}x")
        assert statuses(lambda: bad.post("/own"), 3) == [401] * 3
        assert testing.client_for(ADA).post("/own").status_code == 200

    @pytest.mark.parametrize(
        ("addresses", "status"),
        [
            (["2001:db8:1:2::1", "2001:db8:1:2:ffff::9", "2001:db8:1:2::2", "2001:db8:1:2:a::3"], 429),
            (["2001:db8:1:2::1", "2001:db8:1:2::1", "2001:db8:1:2::1", "2001:db8:1:3::1"], 200),
            (["192.0.2.1", "::ffff:192.0.2.1", "192.0.2.1", "192.0.2.1"], 429),
            (["192.0.2.1", "192.0.2.1", "192.0.2.1", "192.0.2.2"], 200),
            (["", "", "", ""], 429),
        ],
    )
    def test_without_a_token_is_the_network(self, client: APIClient, addresses: list[str], status: int) -> None:
        found = [client.get("/open", REMOTE_ADDR=each).status_code for each in addresses]
        assert found == [200, 200, 200, status]

    @pytest.mark.parametrize(("proxies", "statuses"), [(0, [200, 200, 200, 429]), (1, [200] * 4)])
    def test_is_named_by_a_trusted_proxy_alone(
        self, client: APIClient, settings: Settings, proxies: int, statuses: list[int]
    ) -> None:
        settings.PANGAEA = replace(settings.PANGAEA, trusted_proxies=proxies)
        found = [client.get("/open", headers={"X-Forwarded-For": f"203.0.113.9, 192.0.2.{n}"}) for n in range(4)]
        assert [each.status_code for each in found] == statuses

    @pytest.mark.parametrize(("plan", "allowed"), [("free", 4), ("pro", 9), ("of a later version", 4)])
    def test_has_the_quota_of_the_plan(self, plan: str, allowed: int) -> None:
        client = testing.client_for(ADA, plan=plan)
        assert statuses(lambda: client.get("/own"), allowed + 1) == [200] * allowed + [429]


@pytest.fixture
def server(settings: Settings) -> Iterator[Any]:
    """A Redis of this test, which is the cache, and the client of an operator."""
    with valkey.server() as url, redis.Redis.from_url(url) as operator:
        use(settings, url)
        operator.execute_command("ACL", "SETUSER", "operator", "on", ">secret", "~*", "&*", "+@all")
        with redis.Redis.from_url(url, username="operator", password="secret") as administrator:
            yield administrator


def use(settings: Settings, url: str) -> None:
    """Let the cache be the Redis at this URL."""
    settings.CACHES = caching.configure(replace(settings.PANGAEA, cache_url=url, cache_prefix="test."))


def lost(client: APIClient) -> tuple[int, int]:
    """The statuses of a quota that fails open, and of one that fails closed."""
    passed, refused = client.get("/open"), client.get("/strict")
    assert "RateLimit" not in passed.headers
    assert "RateLimit-Policy" in passed.headers
    if refused.status_code == 503:
        assert (refused.json()["code"], refused.headers["Retry-After"]) == ("unavailable", "2")
        assert refused.headers["X-Envoy-Overloaded"] == "true", "the gateway must not eject the process for it"
    return passed.status_code, refused.status_code


class TestOnRedis:
    def test_counts_are_shared_expire_and_have_the_prefix(
        self, client: APIClient, server: Any, settings: Settings
    ) -> None:
        assert statuses(lambda: client.get("/open"), 4) == [200] * 3 + [429]
        use(settings, caching_url(settings))
        assert client.get("/open").status_code == 429, "another process"
        (key,) = server.keys()
        assert bytes(key).startswith(b"test.pangaea:")
        assert 0 < server.ttl(key) <= 3605
        assert server.get(key) == b"5"

    @pytest.mark.parametrize(
        "trouble",
        [
            ("REPLICAOF", "127.0.0.1", "1"),
            ("CONFIG", "SET", "maxmemory", "1"),
            ("ACL", "SETUSER", "default", "off"),
            ("ACL", "SETUSER", "default", "-@all"),
        ],
        ids=["a replica", "full", "closed to the login", "forbidden"],
    )
    def test_each_quota_does_what_it_declares(self, client: APIClient, server: Any, trouble: tuple[str, ...]) -> None:
        assert client.get("/open").status_code == 200
        server.execute_command(*trouble)
        server.client_kill_filter(_type="normal", skipme=True)
        assert {lost(client) for _ in range(3)} == {(200, 503)}


def caching_url(settings: Settings) -> str:
    return str(settings.CACHES["default"]["LOCATION"])


class TestWithoutRedis:
    def test_each_quota_does_what_it_declares(self, client: APIClient, settings: Settings) -> None:
        use(settings, f"redis://127.0.0.1:{testing.free_port()}/0")
        before = Counter(rate_limits.counts)
        with capture_logs() as logs:
            assert {lost(client) for _ in range(5)} == {(200, 503)}
        assert [each["event"] for each in logs if each["log_level"] == "warning"] == ["cache lost"]
        assert rate_limits.counts - before == {
            ("shop:shared", "passed uncounted"): 5,
            ("shop:strict", "refused uncounted"): 5,
        }


class TestAnOutage:
    @pytest.mark.full
    @pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGSTOP])
    def test_ends_without_a_restart(self, client: APIClient, settings: Settings, end: signal.Signals) -> None:
        port = testing.free_port()
        use(settings, f"redis://127.0.0.1:{port}/0")
        with ExitStack() as stack, capture_logs() as logs:
            operator = stack.enter_context(redis.Redis.from_url(stack.enter_context(valkey.server(port))))
            assert client.get("/strict").status_code == 200
            number = operator.info("server")["process_id"]
            os.kill(number, end)
            assert {lost(client) for _ in range(20)} == {(200, 503)}
            if end is signal.SIGSTOP:
                os.kill(number, signal.SIGCONT)
            else:
                testing.wait_until(
                    lambda: not psutil.pid_exists(number) or psutil.Process(number).status() == "zombie", what="its end"
                )
                stack.enter_context(valkey.server(port))
            testing.wait_until(lambda: client.get("/strict").status_code == 200, what="the cache to be used again")
            assert "RateLimit" in client.get("/open").headers
        events = [each["event"] for each in logs if each["event"].startswith("cache ")]
        assert events == ["cache lost", "cache recovered"]
