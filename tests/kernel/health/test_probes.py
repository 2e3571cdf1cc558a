"""The probe server of relays and workers, with clients that are silent, slow, or read nothing."""

import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Any

import httpx
import pytest

from pangaea.health.probe_server import ProbeServer
from pangaea.telemetry import components
from pangaea.telemetry.components import Component, State
from pangaea.testing import free_port

MANY = 500
THREADS_AT_MOST = 4
"""Threads of the server, beside those of the test."""
CLIENT_TIMEOUT = 60.0
LIVEZ = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture
def component() -> Component:
    return Component("orders")


@pytest.fixture
def port(component: Component) -> Iterator[int]:
    """The port of a probe server for a process with this component, which leads."""
    component.report(State.LEADING)
    server = ProbeServer([component], number := free_port())
    server.start()
    try:
        yield number
    finally:
        server.stop()


def connect(port: int, receive_buffer: int = 0) -> socket.socket:
    connection = socket.socket()
    if receive_buffer:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.settimeout(CLIENT_TIMEOUT)
    connection.connect(("127.0.0.1", port))
    return connection


def slow(port: int) -> socket.socket:
    connection = connect(port)
    connection.sendall(LIVEZ[:-2] + b"X-Slow: ")
    return connection


def reading_nothing(port: int) -> socket.socket:
    connection = connect(port, receive_buffer=1)
    connection.sendall(LIVEZ)
    return connection


KINDS: dict[str, Callable[[int], socket.socket]] = {
    "silent": connect,
    "slow head": slow,
    "reading nothing": reading_nothing,
}


def received(connection: socket.socket) -> bytes:
    """All bytes until the server closes the connection."""
    pieces = []
    try:
        while piece := connection.recv(65536):
            pieces.append(piece)
    except ConnectionError:
        pass
    return b"".join(pieces)


@pytest.fixture
def many_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("many_files")
class TestFiveHundredClients:
    @pytest.mark.parametrize("kind", KINDS)
    def test_keep_no_probe_out_and_hold_no_threads(self, port: int, kind: str) -> None:
        before = threading.active_count()
        with ExitStack() as stack:
            for _ in range(MANY):
                stack.enter_context(KINDS[kind](port))
            answer = httpx.get(f"http://127.0.0.1:{port}/livez", timeout=CLIENT_TIMEOUT, trust_env=False)
            threads = threading.active_count() - before
        assert (answer.status_code, answer.json()["status"]) == (200, "alive")
        assert threads <= THREADS_AT_MOST

    def test_lose_their_oldest_connections_first(self, port: int) -> None:
        with ExitStack() as stack:
            silent = [stack.enter_context(connect(port)) for _ in range(MANY)]
            assert received(silent[0]) == b""
            silent[-1].sendall(LIVEZ)
            assert received(silent[-1]).startswith(b"HTTP/1.0 200 OK\r\n")


def ask(port: int, path: str) -> tuple[int, Any]:
    answer = httpx.get(f"http://127.0.0.1:{port}{path}", timeout=CLIENT_TIMEOUT, trust_env=False)
    return answer.status_code, answer.json()


class TestLiveness:
    def test_shows_the_state_of_each_component_and_the_reason(self, port: int, component: Component) -> None:
        component.report(State.INTERRUPTED, "no broker")
        status, document = ask(port, "/livez")
        assert (status, document["status"]) == (200, "alive")
        assert document["components"]["orders"]["state"] == "interrupted"
        assert document["components"]["orders"]["reason"] == "no broker"

    def test_fails_for_a_component_that_hangs(self, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(components, "REPORT_TIMEOUT", 0.0)
        status, document = ask(port, "/livez")
        assert (status, document["status"]) == (503, "hanging")

    def test_ends_with_the_process(self, component: Component) -> None:
        server = ProbeServer([component], number := free_port())
        server.start()
        assert ask(number, "/livez")[0] == 200
        server.stop()
        with pytest.raises(httpx.ConnectError):
            ask(number, "/livez")

    def test_is_not_served_without_a_port(self, component: Component) -> None:
        before = threading.active_count()
        server = ProbeServer([component], 0)
        server.start()
        assert threading.active_count() == before
        server.stop()


@pytest.mark.django_db(databases="__all__")
class TestReadiness:
    def test_shows_the_reason_of_an_unready_component(self, port: int, component: Component) -> None:
        component.report(State.INTERRUPTED, "no broker")
        status, document = ask(port, "/readyz")
        assert (status, document["status"]) == (503, "not ready")
        assert document["components"]["orders"]["reason"] == "no broker"


class TestAClient:
    @pytest.mark.full
    def test_is_cut_off_at_its_deadline_although_it_sends_on(self, port: int) -> None:
        with slow(port) as connection:
            give_up_at = time.monotonic() + CLIENT_TIMEOUT
            connection.settimeout(0.1)
            ended = False
            while not ended and time.monotonic() < give_up_at:
                try:
                    connection.sendall(b"x")
                    ended = connection.recv(100) == b""
                except TimeoutError:
                    continue
                except ConnectionError:
                    ended = True
            assert ended

    def test_is_answered_when_its_request_comes_byte_by_byte(self, port: int) -> None:
        with connect(port) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in LIVEZ:
                connection.sendall(bytes([byte]))
            assert received(connection).startswith(b"HTTP/1.0 200 OK\r\n")

    def test_with_an_endless_head_is_cut_off(self, port: int) -> None:
        with connect(port) as connection:
            with suppress(ConnectionError):
                connection.sendall(b"x" * 50_000_000)
            assert received(connection) == b""

    @pytest.mark.parametrize(
        ("request_", "status"),
        [
            (b"HEAD /livez?verbose HTTP/1.1\r\n\r\n", b"200 OK"),
            (b"GET /livez HTTP/1.0\n\n", b"200 OK"),
            (b"GET /metrics HTTP/1.1\r\n\r\n", b"404 Not Found"),
            (b"POST /livez HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}", b"501 Unsupported method ('POST')"),
            (b"GET\r\n\r\n", b"400 "),
            (b"\x16\x03\x01\x02\x00\xff\r\n\r\n", b"400 "),
        ],
    )
    def test_gets_the_status_of_its_request(self, port: int, request_: bytes, status: bytes) -> None:
        with connect(port) as connection:
            connection.sendall(request_)
            answer = received(connection)
        assert status in answer.partition(b"\r\n")[0], answer
        if request_.startswith(b"HEAD"):
            assert answer.endswith(b"\r\n\r\n")

    def test_that_hangs_up_leaves_the_others_answered(self, port: int) -> None:
        with slow(port):
            pass
        with connect(port) as connection:
            connection.sendall(LIVEZ)
            assert b'"alive"' in received(connection)
