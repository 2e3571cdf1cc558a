"""Slow or silent clients of the web process, with unfinished requests: other clients are answered meanwhile."""

import json
import re
import resource
import socket
import ssl
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from statistics import median, quantiles
from urllib.parse import urlsplit

import pytest
from joserfc.jwk import ECKey

from pangaea.api.request_limits import MAX_BODY
from pangaea.processes.web.gathering_worker import MAX_HELD_BYTES
from tests.identity.service import HOST, Service, context, make_certificates, running
from tests.processes import workspace

KEY = ECKey.generate_key("P-256")
MANY = 500
ASKED = 100
TOO_MANY = 600
LARGE = "/admin/users/static/drf_spectacular_sidecar/swagger-ui-dist/swagger-ui-bundle.js"
HEAD = b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n"
LOG_IN = b"POST /api/v1/tokens HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
HALF_HELLO = bytes.fromhex("16030100f8010000f40303") + bytes(32)
"""The beginning of a ClientHello: shorter than the length in its record's header."""


@pytest.fixture(scope="module", params=["plain", "tls"])
def users(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("slow")
    certificates = make_certificates(folder / "certs")
    secured = request.param == "tls"
    with (
        workspace(folder) as space,
        running("users", space, certificates=certificates, environment={}, signing_key=KEY, secured=secured) as service,
    ):
        yield service


def connect(service: Service, *, secured: bool = True, receive_buffer: int = 0) -> socket.socket:
    """A connection to the service, after the TLS handshake where there is one."""
    made = socket.socket()
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if receive_buffer:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    made.settimeout(60)
    made.connect((HOST, urlsplit(service.url).port or 0))
    if not (service.secured and secured):
        return made
    return _context(service.certificates).wrap_socket(made, server_hostname=HOST)


@cache
def _context(certificates: Path) -> ssl.SSLContext:
    return context(certificates, "gateway")


def sending(text: bytes) -> Callable[[Service], socket.socket]:
    def begin(service: Service) -> socket.socket:
        connection = connect(service)
        connection.sendall(text)
        return connection

    return begin


def half_tls(service: Service) -> socket.socket:
    connection = connect(service, secured=False)
    connection.sendall(HALF_HELLO)
    return connection


def reading_nothing(service: Service) -> socket.socket:
    connection = connect(service, receive_buffer=4096)
    connection.sendall(b"GET " + LARGE.encode() + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    return connection


KINDS: dict[str, Callable[[Service], socket.socket]] = {
    "idle": lambda service: connect(service, secured=False),
    "idle after the handshake": connect,
    "slow head": sending(HEAD),
    "slow body": sending(LOG_IN + b"Content-Length: 100\r\n\r\n{"),
    "half of a hello": half_tls,  # without TLS, the beginning of a malformed request
    "answered, and not closing": sending(HEAD + b"Connection: close\r\n\r\n"),
    "answered, and idle": sending(HEAD + b"\r\n"),
    "reading nothing": reading_nothing,
}


@contextmanager
def opened(service: Service, kind: str, number: int) -> Iterator[list[socket.socket]]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    try:
        with ExitStack() as stack:
            yield [stack.enter_context(KINDS[kind](service)) for _ in range(number)]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def durations(service: Service, number: int) -> list[float]:
    """Milliseconds per request of a client that opens a connection for each, as probes do."""
    found = []
    for _ in range(number):
        started = time.perf_counter()
        with connect(service) as connection:
            connection.sendall(HEAD + b"Connection: close\r\n\r\n")
            assert received(connection).startswith(b"HTTP/1.1 200")
        found.append((time.perf_counter() - started) * 1000)
    return found


def received(connection: socket.socket) -> bytes:
    """All bytes until the service closes the connection."""
    pieces = []
    while piece := connection.recv(65536):
        pieces.append(piece)
    return b"".join(pieces)


class TestManySlowClients:
    @pytest.mark.full
    @pytest.mark.parametrize("kind", KINDS)
    def test_keep_no_other_waiting(self, users: Service, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
        alone = durations(users, ASKED)
        with opened(users, kind, MANY):
            beside = durations(users, ASKED)
        p99 = [quantiles(each, n=100)[98] for each in (beside, alone)]
        figures = f"p99 {p99[0]:.1f} ms ({p99[1]:.1f} without), p50 {median(beside):.1f} ms ({median(alone):.1f})"
        with capsys.disabled():
            sys.stdout.write(f"\n{users.url.partition(':')[0]}, beside {MANY} clients, {kind}: {figures}\n")

    @pytest.mark.full
    def test_are_disconnected_each_after_its_limit(self, users: Service) -> None:
        with ExitStack() as stack:
            slow = {kind: stack.enter_context(begin(users)) for kind, begin in KINDS.items()}
            answers = {kind: received(connection) for kind, connection in slow.items()}

        assert (answers["idle"], answers["idle after the handshake"]) == (b"", b"")
        for kind in ("slow head", "slow body"):
            assert problem(answers[kind])["code"] == "request_timeout"
        for kind in ("answered, and not closing", "answered, and idle"):
            assert answers[kind].startswith(b"HTTP/1.1 200")
        assert answers["reading nothing"].startswith(b"HTTP/1.1 200")

    @pytest.mark.full
    def test_make_room_when_they_are_too_many(self, users: Service) -> None:
        with opened(users, "idle", TOO_MANY) as silent:
            durations(users, ASKED)
            assert received(silent[0]) == b"", "the oldest"
        users.wait_for_line("connections displaced")

    @pytest.mark.full
    def test_hold_a_bounded_memory(self, users: Service) -> None:
        size = MAX_BODY
        head = LOG_IN + f"Content-Length: {size}\r\n\r\n".encode()
        with ExitStack() as stack:
            for _ in range(2 * MAX_HELD_BYTES // size):
                connection = stack.enter_context(connect(users))
                with suppress(OSError):
                    connection.sendall(head + bytes(size - 1))
            users.wait_for_line("too many bytes wait for clients")
            durations(users, ASKED)


class TestAFewHungClients:
    """More clients than threads, each hung in another way; within seconds it shows whether any holds a thread."""

    def test_keep_no_other_waiting(self, users: Service) -> None:
        with ExitStack() as stack:
            for kind in KINDS:
                stack.enter_context(opened(users, kind, 5))
            durations(users, 10)


class TestARequest:
    def test_is_answered_when_it_comes_byte_by_byte(self, users: Service) -> None:
        with connect(users) as connection:
            for byte in HEAD + b"Connection: close\r\n\r\n":
                connection.sendall(bytes([byte]))
            assert b'{"status": "alive"}' in received(connection)

    def test_is_answered_beside_others_of_its_packet(self, users: Service) -> None:
        body = b"Content-Length: 9\r\n\r\nmalformed"
        with connect(users) as connection:
            connection.sendall(HEAD + b"\r\n" + LOG_IN + body + HEAD + b"Connection: close\r\n\r\n")
            answers = received(connection)
        assert statuses(answers) == [b"200", b"400", b"200"]
        assert b"malformed_json" in answers

    def test_gets_100_continue_once(self, users: Service) -> None:
        head = LOG_IN + b"Content-Length: 4\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
        with connect(users) as connection:
            connection.sendall(head)
            assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
            connection.sendall(b"null")
            answer = received(connection)
        assert answer.startswith(b"HTTP/1.1 400")
        assert b"100 Continue" not in answer

    @pytest.mark.parametrize(
        ("sent", "code"),
        [
            (b"GET /" + b"x" * 5000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", "url_too_long"),
            (HEAD + b"X-A: " + b"x" * 9000 + b"\r\n\r\n", "header_too_large"),
            (HEAD + b"X-A: 1\r\n" * 200 + b"\r\n", "header_too_large"),
            (HEAD + (b"X-A: " + b"x" * 4000 + b"\r\n") * 40, "header_too_large"),
            (b"GET /livez HTTP/9.9\r\n\r\n", "malformed_request"),
            (b"\x16\x03\x01\x02\x00\r\n\r\n", "malformed_request"),
            (b"GET  /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", "malformed_request"),
            (HEAD + b"X A: 1\r\n\r\n", "malformed_request"),
            (HEAD + b"Content-Length: +5\r\n\r\nhello", "malformed_request"),
            (HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", "malformed_request"),
            (HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "malformed_request"),
            (HEAD + b"Transfer-Encoding: xyz\r\n\r\n", "unknown_transfer_coding"),
            (LOG_IN + b"Transfer-Encoding: chunked\r\n\r\nx\r\n{}\r\n0\r\n\r\n", "malformed_request"),
            (HEAD + b"Expect: a-miracle\r\nContent-Length: 2\r\n\r\n{}", "unknown_expectation"),
        ],
    )
    def test_that_is_refused_before_django_gets_a_problem_document(
        self, users: Service, sent: bytes, code: str
    ) -> None:
        with connect(users) as connection:
            connection.sendall(sent + SECOND)
            answer = received(connection)
        document = problem(answer)
        assert document["code"] == code
        assert len(statuses(answer)) == 1, "what follows is not read"
        users.wait_for_line(str(document["correlation_id"]))

    def test_with_a_body_that_is_too_large_is_the_last_of_its_connection(self, users: Service) -> None:
        with connect(users) as connection:
            connection.sendall(LOG_IN + b"Content-Length: 30000000\r\n\r\n" + SECOND)
            answer = received(connection)
        assert problem(answer)["code"] == "body_too_large"
        assert b"connection: close" in answer.lower()
        assert len(statuses(answer)) == 1


SECOND = HEAD + b"\r\n"
"""The second request of a smuggling attempt: answered only by a server that misreads the end of the first."""


def statuses(answers: bytes) -> list[bytes]:
    return re.findall(rb"HTTP/1\.1 (\d{3})", answers)


def problem(answer: bytes) -> dict[str, object]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head.lower(), answer
    document: dict[str, object] = json.loads(body)
    assert head.split()[1].decode() == str(document["status"])
    return document
