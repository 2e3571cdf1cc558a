"""The admin while its database cannot be written or reached: 503 with `Retry-After`, as a page, in one log line."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest
from django.db import DEFAULT_DB_ALIAS
from django.test import Client
from structlog.testing import capture_logs

from pangaea.databases import outages
from pangaea.ops.models import Operator
from pangaea.telemetry import correlation
from tests.kernel.failing import not_now, unreachable

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

GROUP = {"name": "stewards"}


@pytest.fixture(autouse=True)
def unknown_outages() -> Iterator[None]:
    """Each test's outage is logged, whatever the tests before it logged."""
    outages.forget()
    yield
    outages.forget()


@pytest.fixture
def browser(client: Client) -> Client:
    client.force_login(Operator.objects.create_superuser("chief", "chief@example.com", "correct-horse-battery"))
    return client


WAYS: dict[str, Callable[[Client], Any]] = {
    "a page": lambda client: client.get("/admin/"),
    "a list": lambda client: client.get("/admin/auth/group/"),
    "a form": lambda client: client.post("/admin/auth/group/add/", GROUP),
    "an unknown address": lambda client: client.get("/admin/nothing/"),
}


class TestAnOutage:
    @pytest.fixture(params=[not_now, unreachable])
    def outage(self, request: pytest.FixtureRequest, browser: Client) -> Any:
        if request.param is unreachable:
            request.getfixturevalue("postgresql_only")
        return request.param

    def test_is_503_with_retry_after_in_one_line_on_every_way_in(
        self,
        browser: Client,
        outage: Callable[[str], AbstractContextManager[None]],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        browser.raise_request_exception = False
        with outage(DEFAULT_DB_ALIAS):
            for name, way in WAYS.items():
                outages.forget()
                with capture_logs() as logs:
                    answer = way(browser)
                assert answer.status_code == 503, name
                assert int(answer.headers["Retry-After"]) > 0
                assert len([each for each in logs if each["log_level"] == "warning"]) == 1, name
        assert not [record for record in caplog.records if record.exc_info]

    def test_is_over_at_once(self, browser: Client, outage: Callable[[str], AbstractContextManager[None]]) -> None:
        browser.raise_request_exception = False
        with outage(DEFAULT_DB_ALIAS):
            browser.get("/admin/")
        assert browser.get("/admin/").status_code == 200
        assert browser.post("/admin/auth/group/add/", GROUP).status_code == 302

    def test_has_one_line_for_all_its_requests(
        self, browser: Client, outage: Callable[[str], AbstractContextManager[None]], postgresql_only: None
    ) -> None:
        browser.raise_request_exception = False
        with outage(DEFAULT_DB_ALIAS), capture_logs() as logs:
            for _ in range(5):
                assert browser.get("/admin/").status_code == 503
        assert [each["event"] for each in logs if each["log_level"] == "warning"] == ["database lost"]

    def test_is_none_of_an_api_that_does_not_use_the_session(
        self, browser: Client, outage: Callable[[str], AbstractContextManager[None]]
    ) -> None:
        with outage(DEFAULT_DB_ALIAS):
            assert browser.get("/api/docs/").status_code == 200


class TestThePage:
    def test_is_for_browsers_and_says_so(self, browser: Client) -> None:
        browser.raise_request_exception = False
        with not_now(DEFAULT_DB_ALIAS):
            answer = browser.get("/admin/")
        assert answer.headers["Content-Type"].startswith("text/html")
        assert "Try again" in answer.text
        assert answer.headers[correlation.HEADER] in answer.text

    def test_is_not_shown_for_a_session_that_was_deleted(self, browser: Client) -> None:
        browser.session.flush()
        assert browser.get("/admin/").status_code == 302
