"""The web process's own worker in a thread, before views that answer when the test lets them."""

import socket
import struct
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx
import pytest
from django.conf import settings
from django.core.servers.basehttp import WSGIRequestHandler
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path
from pytest_django import Settings

from pangaea import modules
from pangaea.api import shaping
from pangaea.api.shaping import Turn, Turns
from pangaea.errors import Misconfigured
from pangaea.modules import Route
from pangaea.processes.web import server
from pangaea.processes.web.local_server import LocalServer, LocalWorker
from pangaea.testing import wait_until

THREADS = 4
BOUND = 2
"""What is left of these threads for one route."""
SLOW, OTHER = [route.path for module in modules.installed() for route in module.routes][:2]
"""Two routes of the installed modules, whose views are those below in these tests."""

ROUTE = Route("/a", urlconf="")


@dataclass
class Gate:
    """Holds the requests to the slow view until it is opened."""

    opened: threading.Event = field(default_factory=threading.Event)
    entered: list[str] = field(default_factory=list)


GATE = Gate()


def slow(request: HttpRequest) -> HttpResponse:
    GATE.entered.append(request.path)
    assert GATE.opened.wait(60)
    return HttpResponse("slow")


def fails(_request: HttpRequest) -> HttpResponse:
    raise RuntimeError


def quick(_request: HttpRequest) -> HttpResponse:
    return HttpResponse("quick")


urlpatterns = [
    path(f"{SLOW[1:]}/fails", fails),
    path(SLOW[1:], slow),
    path(f"{SLOW[1:]}/deeper", slow),
    path(OTHER[1:], quick),
    path("elsewhere", quick),
]


class TestARoute:
    def test_that_is_slow_leaves_threads_to_the_others(self, web: httpx.Client) -> None:
        with flood(web, SLOW, number=20):
            for other in (OTHER, "/elsewhere", "/livez"):
                assert [get(web, other).status_code for _ in range(5)] == [200] * 5
            assert len(GATE.entered) == BOUND

    def test_is_one_however_its_path_is_written(self, web: httpx.Client) -> None:
        spellings = [
            f"{SLOW}/deeper",
            f"{SLOW}?a=b",
            f"/x/..{SLOW}",
            SLOW.replace("a", "%61", 1),
            f"http://127.0.0.1{SLOW}",
        ]
        with flood(web, SLOW, number=BOUND), ThreadPoolExecutor() as pool:
            asked = [pool.submit(raw, web, each) for each in spellings]
            assert get(web, OTHER).status_code == 200
            assert len(GATE.entered) == BOUND
            GATE.opened.set()
            assert {each.result() for each in asked} == {200}
            assert len(GATE.entered) == BOUND + len(spellings)

    def test_answers_a_burst_in_turn(self, web: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(shaping, "LONGEST_WAIT", 60)
        with flood(web, SLOW, number=50) as asked:
            GATE.opened.set()
            assert {each.result().status_code for each in asked} == {200}


class TestARequestTooMany:
    def test_is_refused_at_once_where_many_wait(self, web: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(shaping, "MOST_WAITING", 3)
        monkeypatch.setattr(shaping, "LONGEST_WAIT", 60)
        with flood(web, SLOW, number=BOUND + 3 + 5) as asked:
            wait_until(lambda: sum(each.done() for each in asked) == 5, what="five to be refused", seconds=30)
            refused = [each.result() for each in asked if each.done()]
            GATE.opened.set()

        for answer in refused:
            assert_too_busy(answer)
        assert sorted(each.result().status_code for each in asked) == [200] * 5 + [503] * 5
        assert len(GATE.entered) == BOUND + 3

    def test_is_refused_when_it_has_waited_for_long(self, web: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(shaping, "LONGEST_WAIT", 0.1)
        with flood(web, SLOW, number=BOUND + 1) as asked:
            wait_until(lambda: any(each.done() for each in asked), what="one to be refused", seconds=30)
            assert_too_busy(next(each.result() for each in asked if each.done()))
            assert len(GATE.entered) == BOUND


class TestATurn:
    def test_is_given_back_by_a_view_that_fails(self, web: httpx.Client) -> None:
        for _ in range(BOUND * 3):
            assert get(web, f"{SLOW}/fails").status_code == 500
        GATE.opened.set()
        assert get(web, SLOW).status_code == 200

    @pytest.mark.full  # a thousand connections
    def test_is_given_back_by_a_thousand_clients_that_disconnect(self, web: httpx.Client) -> None:
        for number in range(1000):
            abort(web, SLOW)
            if number == 500:
                GATE.opened.set()
        wait_until(lambda: get(web, SLOW).status_code == 200, what="those that wait to be answered", seconds=60)

        GATE.opened.clear()
        with flood(web, SLOW, number=BOUND):
            assert get(web, OTHER).status_code == 200


class TestTurns:
    def test_are_taken_in_the_order_of_arrival(self) -> None:
        turns: Turns[int] = Turns(threads=3)

        assert [turns.enter(number, ROUTE, now=0) for number in range(4)] == [Turn.STARTS, *[Turn.WAITS] * 3]
        assert [turns.leave(number) for number in range(4)] == [1, 2, 3, None]
        assert turns.leave(3) is None
        assert turns.enter(5, ROUTE, now=0) is Turn.STARTS

    def test_are_lost_by_waiting_too_long(self) -> None:
        turns: Turns[int] = Turns(threads=3)
        for number in range(3):
            turns.enter(number, ROUTE, now=number)

        assert list(turns.late(1 + shaping.LONGEST_WAIT)) == [1]
        assert turns.leave(1) is None, "it had none"
        assert turns.leave(0) == 2

    @pytest.mark.parametrize(
        ("declared", "threads", "bound"), [(None, 8, 6), (None, 3, 1), (None, 1, 1), (3, 8, 3), (3, 1, 3)]
    )
    def test_are_as_many_as_the_route_declares(self, declared: int | None, threads: int, bound: int) -> None:
        turns: Turns[int] = Turns(threads=threads)
        route = Route("/b", urlconf="", concurrent=declared)

        turn = [turns.enter(number, route, now=0) for number in range(bound + 1)]

        assert turn == [Turn.STARTS] * bound + [Turn.WAITS]
        assert turns.enter(100, ROUTE, now=0) is Turn.STARTS, "another route's"
        assert turns.enter(101, None, now=0) is Turn.STARTS, "no route's"

    def test_are_at_least_one(self) -> None:
        with pytest.raises(Misconfigured, match="one concurrent request"):
            Route("/a", urlconf="", concurrent=0)


def assert_too_busy(answer: httpx.Response) -> None:
    assert (answer.status_code, answer.json()["code"], answer.json()["instance"]) == (503, "too_busy", SLOW)
    assert answer.headers["content-type"] == "application/problem+json"
    assert int(answer.headers["retry-after"]) > 0
    assert answer.headers["x-correlation-id"] == answer.json()["correlation_id"]
    assert answer.headers["content-security-policy"]


@contextmanager
def flood(web: httpx.Client, path: str, *, number: int) -> Iterator[list["Future[httpx.Response]"]]:
    """Send concurrent requests, and wait until as many as may be are being answered. All are, at the end."""
    before = len(GATE.entered)
    with ThreadPoolExecutor(number) as pool:
        try:
            asked = [pool.submit(get, web, path) for _ in range(number)]
            if not GATE.opened.is_set():
                wait_until(lambda: len(GATE.entered) == before + BOUND, what="the bound to be reached", seconds=30)
            yield asked
        finally:
            GATE.opened.set()


def get(web: httpx.Client, path: str) -> httpx.Response:
    return web.get(path)


def raw(web: httpx.Client, target: str) -> int:
    """The status of the answer to a request for this target, unchanged."""
    with connected(web) as connection:
        connection.sendall(f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
        return int(connection.makefile("rb").readline().split()[1])


def abort(web: httpx.Client, target: str) -> None:
    """Send a request, and reset the connection."""
    with connected(web) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.sendall(f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())


def connected(web: httpx.Client) -> socket.socket:
    return socket.create_connection(("127.0.0.1", web.base_url.port or 0), timeout=60)


@pytest.fixture
def web(settings: Settings) -> Iterator[httpx.Client]:
    """A client of a web process with THREADS threads."""
    settings.ROOT_URLCONF = __name__
    settings.ALLOWED_HOSTS = ["127.0.0.1"]
    GATE.opened.clear()
    GATE.entered.clear()
    with serving() as url, httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
        yield client


@contextmanager
def serving() -> Iterator[str]:
    bound = LocalServer(("127.0.0.1", 0), WSGIRequestHandler)
    bound.set_app(get_wsgi_application())
    options = server.options(settings.PANGAEA, bind="", workers=1, threads=THREADS)
    worker = LocalWorker(server.WebServer(options).cfg, bound)
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        yield f"http://127.0.0.1:{bound.server_port}"
    finally:
        worker.handle_exit(0, None)
        thread.join(timeout=60)
        worker.tmp.close()
        bound.server_close()
