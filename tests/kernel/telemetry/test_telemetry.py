"""Logs, and the correlation id on their lines."""

import io
import json
import logging
import sys
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
import structlog
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import path

from pangaea.settings import http
from pangaea.telemetry import access_log, correlation, logs

pytestmark = pytest.mark.urls(__name__)

log = structlog.get_logger("tests.telemetry")


def hello(_request: HttpRequest) -> HttpResponse:
    log.info("hello", name="Ada")
    return HttpResponse(correlation.current())


def bug(_request: HttpRequest) -> HttpResponse:
    raise RuntimeError("oh")


urlpatterns = [path("hello", hello), path("bug", bug)]
handler500 = "pangaea.api.fallback.server_error"


class Lines:
    """The lines of the log, in the format of a deployment."""

    def __init__(self, stream: io.StringIO) -> None:
        self._stream = stream

    def __call__(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._stream.getvalue().splitlines()]


@pytest.fixture
def lines() -> Iterator[Lines]:
    """The process's own configuration, with a handler that writes to memory."""
    logs.configure(http.logging_config("INFO", json=True))
    (handler,) = (each for each in logging.getLogger().handlers if type(each) is logging.StreamHandler)
    stream = io.StringIO()
    handler.setStream(stream)
    yield Lines(stream)
    logs.configure(settings.LOGGING)


def is_uuid7(text: str) -> bool:
    return UUID(text).version == 7


class TestTheCorrelationId:
    @pytest.mark.parametrize("header", ["X-Correlation-ID", "X-Request-ID"])
    @pytest.mark.parametrize(
        "sent",
        [
            "order-7.retry_2",
            "0A000AE6:B220_AC110002:01BB",  # HAProxy's %ci:%cp_%fi:%fp in hexadecimal
            "q83vEjRWeJA/+w==",  # base64
            "x" * 128,
        ],
    )
    def test_is_taken_from_the_request_and_returned(self, header: str, sent: str) -> None:
        response = Client().get("/hello", headers={header: sent})
        assert response.headers["X-Correlation-ID"] == sent
        assert response.content == sent.encode()

    def test_is_the_callers_before_a_proxys(self) -> None:
        response = Client().get("/hello", headers={"X-Correlation-ID": "callers", "X-Request-ID": "proxys"})
        assert response.headers["X-Correlation-ID"] == "callers"

    @pytest.mark.parametrize("sent", [None, "", "x" * 129, "a b", "ü", "a\\nb", '"><script>', "a,b", "a%0ab"])
    def test_is_created_where_the_request_has_none_or_an_unsafe_one(self, sent: str | None) -> None:
        names = ("X-Correlation-ID", "X-Request-ID")
        response = Client().get("/hello", headers=dict.fromkeys(names, sent) if sent is not None else None)
        assert is_uuid7(response.headers["X-Correlation-ID"])
        assert response.content.decode() == response.headers["X-Correlation-ID"]

    def test_is_a_proxys_where_the_callers_is_unsafe(self) -> None:
        response = Client().get("/hello", headers={"X-Correlation-ID": "a b", "X-Request-ID": "proxys"})
        assert response.headers["X-Correlation-ID"] == "proxys"

    def test_ends_with_the_request(self) -> None:
        Client().get("/hello", headers={"X-Correlation-ID": "mine"})
        assert correlation.current() != "mine"

    def test_is_fresh_per_call_outside_of_a_request(self) -> None:
        assert is_uuid7(correlation.current())
        assert correlation.current() != correlation.current()

    def test_can_be_taken_over_from_a_message(self) -> None:
        with correlation.scope("from-a-message") as chosen:
            assert chosen == correlation.current() == "from-a-message"
            with correlation.scope(None) as inner:
                assert is_uuid7(inner)
            assert correlation.current() == "from-a-message"

    def test_never_contains_a_line_break(self) -> None:
        with correlation.scope("a\r\nSet-Cookie: b") as chosen:
            assert is_uuid7(chosen)

    def test_may_be_bound_with_other_fields(self) -> None:
        with logs.bind(correlation_id="bound", position=7):
            assert correlation.current() == "bound"


class TestTheLog:
    def test_has_a_json_line_for_each_event_with_the_correlation_id(self, lines: Lines) -> None:
        Client().get("/hello", headers={"X-Correlation-ID": "joined"})
        hello, request = lines()
        assert (hello["event"], hello["name"], hello["level"], hello["logger"]) == (
            "hello",
            "Ada",
            "info",
            "tests.telemetry",
        )
        assert (request["event"], request["method"], request["path"], request["status"]) == (
            "request",
            "GET",
            "/hello",
            200,
        )
        assert hello["correlation_id"] == request["correlation_id"] == "joined"
        assert request["duration_ms"] >= 0
        assert request["timestamp"].endswith("Z")

    def test_has_each_line_of_django_once(self, lines: Lines) -> None:
        assert logging.getLogger("django").handlers == []

    def test_leaves_the_query_string_out(self, lines: Lines) -> None:
        Client().get("/hello?token=secret")
        assert "secret" not in json.dumps(lines())

    @pytest.mark.parametrize("probe", sorted(access_log.QUIET_PATHS))
    def test_omits_probes(self, lines: Lines, probe: str) -> None:
        Client().post(probe)
        assert lines() == []

    def test_omits_the_files_of_pages_and_no_missing_one(self, lines: Lines) -> None:
        for file in ("ops/operations.css", "nothing.css"):
            Client().get(f"/static/{file}").close()
        assert [(line["path"], line["status"]) for line in lines()] == [("/static/nothing.css", 404)]

    def test_takes_the_standard_librarys_lines_too(self, lines: Lines) -> None:
        with correlation.scope("joined"), logs.bind(module="orders"):
            logging.getLogger("some.library").warning("disk %s%% full", 93)
        (line,) = lines()
        assert line["event"] == "disk 93% full"
        assert (line["level"], line["logger"]) == ("warning", "some.library")
        assert (line["correlation_id"], line["module"]) == ("joined", "orders")

    def test_has_one_line_for_an_unknown_path_and_two_for_a_bug(self, lines: Lines) -> None:
        client = Client(raise_request_exception=False)
        client.get("/nothing")
        client.get("/hello", headers={"host": "evil.example"})
        assert [(line["event"], line["status"]) for line in lines()] == [("request", 404), ("request", 400)]
        client.get("/bug")
        failure, request = lines()[2:]
        assert "RuntimeError: oh" in failure["exception"]
        assert failure["level"] == "error"
        assert request["status"] == 500
        assert failure["correlation_id"] == request["correlation_id"]

    def test_cannot_be_forged_by_a_line_break(self, lines: Lines) -> None:
        Client().get("/x%0a%7B%22level%22:%22error%22%7D")
        (line,) = lines()
        assert line["path"] == '/x\n{"level":"error"}'

    def test_accepts_values_that_json_lacks(self, lines: Lines) -> None:
        log.info("odd", thing=object(), id=UUID(int=7), text="\ud800", data=b"\xff")
        (line,) = lines()
        assert line["id"] == str(UUID(int=7))

    def test_obeys_its_level(self, lines: Lines) -> None:
        log.debug("chatter")
        logging.getLogger("django.db.backends").debug("SELECT secrets")
        assert lines() == []

    def test_is_readable_for_people_in_development(self) -> None:
        record = logging.LogRecord("x", logging.INFO, "x.py", 1, "plain %s", ("words",), None)
        assert "plain words" in logs.formatter(json=False).format(record)

    def test_prints_no_local_variables_beside_a_traceback(self) -> None:
        """A local variable may be a password; structlog's default formatter prints them if `rich` is installed."""
        record = logging.LogRecord("x", logging.ERROR, "x.py", 1, "failed", (), failure(password="continental-drift"))
        text = logs.formatter(json=False).format(record)
        assert "RuntimeError: refused" in text
        assert "continental-drift" not in text


def failure(*, password: str) -> Any:
    """The result of sys.exc_info() in a function with a secret."""
    try:
        refuse(password)
    except RuntimeError:
        return sys.exc_info()


def refuse(_password: str) -> None:
    raise RuntimeError("refused")
