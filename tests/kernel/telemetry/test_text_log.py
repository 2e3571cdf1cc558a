"""The log for people: what strangers wrote is printed, and never obeyed by the terminal."""

import io
import json
import logging
from collections.abc import Callable, Iterator

import pytest
import structlog
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import path

from pangaea.settings import http
from pangaea.telemetry import logs

pytestmark = pytest.mark.urls(__name__)

CLEAR_SCREEN = "\x1b[2J"
TITLE = "\x9d0;owned\x9c"  # C1: OSC and ST
REVERSED = "\u202egnp.exe"
EVIL = f"{CLEAR_SCREEN}{TITLE}{REVERSED}\u2028\x7f"
SHOWN = r"\x1b[2J\x9d0;owned\x9c\u202egnp.exe\u2028\x7f"

log = structlog.get_logger("tests.telemetry")


class Evil:
    def __repr__(self) -> str:
        return f"<Evil {EVIL}>"


def bug(_request: HttpRequest) -> HttpResponse:
    raise RuntimeError(f"no product {EVIL}\nsecond line")


urlpatterns = [path("bug", bug)]
handler404 = "pangaea.api.fallback.not_found"
handler500 = "pangaea.api.fallback.server_error"


@pytest.fixture
def printed() -> Iterator[Callable[[], str]]:
    """What the process's own configuration prints."""
    logs.configure(http.logging_config("INFO", json=False))
    (handler,) = (each for each in logging.getLogger().handlers if type(each) is logging.StreamHandler)
    stream = io.StringIO()
    handler.setStream(stream)
    yield stream.getvalue
    logs.configure(settings.LOGGING)


def is_harmless(text: str) -> bool:
    return all(character.isprintable() or character == "\n" for character in text)


class TestTheLogForMachines:
    def test_has_no_raw_control_character(self) -> None:
        """A terminal shows it too: `kubectl logs`, `journalctl`."""
        record = logging.LogRecord("x", logging.INFO, "x.py", 1, EVIL, (), None)
        line = logs.formatter(json=True).format(record)
        assert line.isascii()
        assert line.isprintable()
        assert json.loads(line)["event"] == EVIL


class TestTheLogForPeople:
    @pytest.mark.parametrize(
        ("sent", "shown"),
        [("/%1B%5B2J", r"/\x1b[2J"), ("/%C2%9B2J", r"/\x9b2J"), ("/%0A%1B%5B2Jforged", r"/\n\x1b[2Jforged")],
    )
    def test_prints_a_path_on_one_line(self, printed: Callable[[], str], sent: str, shown: str) -> None:
        Client().get(sent)
        assert printed().count("\n") == 1
        assert is_harmless(printed())
        assert shown in printed()

    @pytest.mark.parametrize(
        "value", [EVIL, f"a b\r{EVIL}", Evil(), [EVIL], {EVIL: EVIL}, RuntimeError(EVIL), EVIL.encode()], ids=repr
    )
    def test_escapes_every_field(self, printed: Callable[[], str], value: object) -> None:
        with logs.bind(bound=value):
            log.info("found", here=value)
        assert printed().count("\n") == 1
        assert is_harmless(printed())
        assert printed().count("gnp.exe") >= 2

    def test_escapes_the_event(self, printed: Callable[[], str]) -> None:
        log.warning(EVIL)
        logging.getLogger("some.library").warning("nor %s", EVIL)
        logging.getLogger("django.server").error('"%s" %s %s', f"GET /{EVIL} HTTP/1.1", "500", "0")
        assert is_harmless(printed())
        assert [SHOWN in line for line in printed().splitlines()] == [True, True, True]

    def test_escapes_a_traceback_and_keeps_its_lines(self, printed: Callable[[], str]) -> None:
        Client(raise_request_exception=False).get("/bug")
        assert is_harmless(printed())
        assert f"RuntimeError: no product {SHOWN}\nsecond line\n" in printed()

    def test_prints_other_text_as_it_is(self, printed: Callable[[], str]) -> None:
        log.info("account registered", full_name="Zoë", of="李小龍", number=7, nothing=None)
        assert "full_name=Zoë" in printed()
        assert "of=李小龍" in printed()
        assert "number=7" in printed()
        assert "nothing=None" in printed()
