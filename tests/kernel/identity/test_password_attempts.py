"""Guesses are counted before they are tried, also for unknown accounts, and delay no other caller for long."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections
from django.db.models import F
from django.test import Client, RequestFactory
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings
from structlog.testing import capture_logs

from pangaea import errors
from pangaea.identity import password_attempts
from pangaea.identity.client_address import client_network
from pangaea.identity.models import FailureCount, Limit
from pangaea.ops.models import Operator

MINE, THEIRS = "203.0.113.7", "198.51.100.9"
PASSWORD = "correct-horse-battery"
FREE, FREE_OF_ACCOUNT, FREE_OF_NETWORK = 5, 20, 50


def attempt(account: str = "ada", address: str = MINE, *, right: bool = False) -> None:
    """Try one password. Raises Throttled where it has to wait."""
    request = RequestFactory(REMOTE_ADDR=address).post("/")
    with (
        suppress(errors.Unauthenticated),
        password_attempts.counted("tests", account=account, request=request) as tried,
    ):
        if not right:
            raise errors.Unauthenticated("invalid_credentials", "Wrong.")
        tried.accept()


def fail(times: int, account: str = "ada", address: str = MINE) -> None:
    for _ in range(times):
        attempt(account, address)


def later(by: timedelta) -> None:
    """Let this time pass for all counts."""
    FailureCount.objects.update(
        retry_at=F("retry_at") - by, forgotten_at=F("forgotten_at") - by, expires_at=F("expires_at") - by
    )


def wait_of(account: str = "ada", address: str = MINE) -> float:
    with pytest.raises(errors.Throttled) as refusal:
        attempt(account, address)
    return refusal.value.retry_after.total_seconds()


@pytest.mark.django_db
class TestAnAttempt:
    def test_waits_ever_longer_after_the_free_failures(self) -> None:
        fail(FREE + 1)
        assert 0 < wait_of() <= 1
        later(timedelta(seconds=1))
        fail(1)
        assert 1 < wait_of() <= 2
        for _ in range(12):
            later(timedelta(minutes=15))
            fail(1)
        assert wait_of() <= 900

    @pytest.mark.full
    def test_is_left_about_a_hundred_guesses_a_day_from_any_number_of_networks(self) -> None:
        guesses = 0
        for second in range(0, 24 * 3600, 300):
            with suppress(errors.Throttled):
                attempt(address=f"2001:db8:0:{second // 300:x}::1")
                guesses += 1
            later(timedelta(minutes=5))
        assert 96 <= guesses <= 96 + FREE_OF_ACCOUNT + 12

    def test_that_is_right_clears_what_failed_from_there(self) -> None:
        fail(FREE)
        attempt(right=True)
        fail(FREE)
        attempt(right=True)

    def test_that_is_right_leaves_the_count_of_the_network(self) -> None:
        """An attacker has an account too."""
        for number in range(FREE_OF_NETWORK + 1):
            attempt(f"victim-{number}")
            if number < FREE_OF_NETWORK:
                attempt("attacker", right=True)
        assert wait_of("another") <= 60

    def test_that_is_right_leaves_what_others_guess(self) -> None:
        attempt(right=True)
        for number in range(FREE_OF_ACCOUNT + 1):
            attempt(address=f"198.51.100.{number}")
        attempt(right=True)
        assert wait_of(address=THEIRS) > 0

    def test_of_the_owner_is_not_held_up_by_guesses_from_elsewhere(self) -> None:
        attempt(right=True)
        for number in range(FREE_OF_ACCOUNT + 1):
            attempt(address=f"198.51.100.{number}")
        assert wait_of(address="192.0.2.1") > 0
        attempt(right=True)

    def test_counts_for_an_ipv6_network_as_a_whole(self) -> None:
        for number in range(FREE + 1):
            attempt(address=f"2001:db8::{number + 1:x}")
        assert wait_of(address="2001:db8::ffff") > 0
        attempt(address="2001:db8:0:1::1")

    def test_counts_whatever_spelling_the_name_has(self) -> None:
        for name in ("Ada", " ada", "ADA ", "\uff21da", "aDa", "ada"):
            attempt(name)
        assert wait_of() > 0

    def test_that_something_away_kept_from_being_tried_does_not_count(self) -> None:
        fail(FREE)
        for _ in range(3):
            request = RequestFactory(REMOTE_ADDR=MINE).post("/")
            with (
                pytest.raises(errors.Unavailable),
                password_attempts.counted("tests", account="ada", request=request),
            ):
                raise errors.Unavailable("busy")
        fail(1)
        assert wait_of() > 0

    def test_that_nothing_accepts_has_failed(self) -> None:
        for _ in range(FREE + 1):
            with password_attempts.counted("tests", account="ada", request=RequestFactory(REMOTE_ADDR=MINE).post("/")):
                pass
        assert wait_of() > 0

    def test_leaves_no_row_for_ever(self) -> None:
        for number in range(30):
            attempt(f"account-{number}", f"198.51.100.{number}")
        later(timedelta(hours=1))
        for _ in range(12):
            attempt(right=True)
        assert FailureCount.objects.count() == 3

    def test_that_has_to_wait_writes_nothing(self) -> None:
        fail(FREE + 1)
        before = list(FailureCount.objects.order_by("key").values())
        wait_of()
        assert list(FailureCount.objects.order_by("key").values()) == before

    def test_is_logged_and_counted_without_the_name(self) -> None:
        before = password_attempts.counts.copy()
        with capture_logs() as lines:
            fail(FREE + 1, account="my-secret-password")
            wait_of("my-secret-password")
        assert [line["event"] for line in lines] == ["log-in failed"] * (FREE + 1) + ["log-in refused"]
        assert {(line["purpose"], line["address"]) for line in lines} == {("tests", MINE)}
        assert len({line["account"] for line in lines}) == 1
        assert "my-secret-password" not in str(lines)
        assert password_attempts.counts - before == {("tests", "failed"): FREE + 1, ("tests", "refused"): 1}


class TestParallelGuesses:
    @pytest.mark.django_db(transaction=True)
    def test_are_not_all_tried(self) -> None:
        tried = []

        def guess(_: int) -> None:
            try:
                request = RequestFactory(REMOTE_ADDR=MINE).post("/")
                with suppress(errors.Throttled), password_attempts.counted("tests", account="ada", request=request):
                    tried.append(1)
            finally:
                connections.close_all()

        with ThreadPoolExecutor(10) as pool:
            list(pool.map(guess, range(100)))
        # The pauses double, so that a slow run adds only a few attempts.
        assert FREE + 1 <= len(tried) <= FREE + 6


class TestALimit:
    @given(st.integers(1, 50), st.integers(0, 10_000))
    def test_never_shortens_the_pause_and_has_a_longest_one(self, free: int, failures: int) -> None:
        limit = Limit(free, timedelta(minutes=15))
        assert limit.pause_after(failures) <= limit.pause_after(failures + 1) <= timedelta(minutes=15)
        assert (limit.pause_after(failures) == timedelta(0)) == (failures <= free)


class TestTheClient:
    @pytest.mark.parametrize(
        ("proxies", "header", "network"),
        [
            (0, THEIRS, MINE),
            (1, f"{THEIRS}, 192.0.2.1", "192.0.2.1"),
            (2, f"{THEIRS}, 192.0.2.1, 192.0.2.2", "192.0.2.1"),
            (1, "2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
            (1, "::ffff:192.0.2.1", "192.0.2.1"),
            (1, "nonsense", MINE),
            (2, THEIRS, MINE),
            (1, "", MINE),
        ],
    )
    def test_is_what_the_trusted_proxies_saw(self, settings: Settings, proxies: int, header: str, network: str) -> None:
        settings.PANGAEA = _with(settings, trusted_proxies=proxies)
        request = RequestFactory(REMOTE_ADDR=MINE).get("/", headers={"X-Forwarded-For": header})
        assert client_network(request) == network

    def test_of_a_socket_without_address_is_unknown(self) -> None:
        assert client_network(RequestFactory(REMOTE_ADDR="").get("/")) is None


def _with(settings: Settings, **fields: Any) -> Any:
    from dataclasses import replace

    return replace(settings.PANGAEA, **fields)


@pytest.mark.django_db(databases="__all__")
class TestTheOperators:
    @pytest.fixture
    def chief(self) -> Operator:
        return Operator.objects.create_superuser("chief", "chief@example.com", PASSWORD)

    def log_in(self, client: Client, password: str, name: str = "chief") -> Any:
        return client.post("/admin/login/", {"username": name, "password": password}, REMOTE_ADDR=MINE)

    @pytest.mark.parametrize("name", ["chief", "unknown-name"])
    def test_log_in_is_slowed_down(self, client: Client, chief: Operator, name: str) -> None:
        for _ in range(FREE + 1):
            assert self.log_in(client, "wrong", name).status_code == 200
        refused = self.log_in(client, PASSWORD, name)
        assert refused.status_code == 429
        assert refused.headers["Retry-After"] == "1"
        assert "Too many attempts to log in" in refused.content.decode()
        later(timedelta(seconds=1))
        if name == "chief":
            assert self.log_in(client, PASSWORD).status_code == 302

    def test_log_in_without_a_password_clears_nothing(self, client: Client, chief: Operator) -> None:
        for _ in range(FREE):
            self.log_in(client, "wrong")
            self.log_in(client, "")
        self.log_in(client, "wrong")
        assert self.log_in(client, "wrong").status_code == 429

    def test_password_is_not_guessed_by_a_session(self, client: Client, chief: Operator) -> None:
        client.force_login(chief)
        form = {"old_password": "wrong", "new_password1": "tectonic-plates", "new_password2": "tectonic-plates"}
        for _ in range(FREE + 1):
            assert client.post("/admin/password_change/", form, REMOTE_ADDR=MINE).status_code == 200
        refused = client.post("/admin/password_change/", form | {"old_password": PASSWORD}, REMOTE_ADDR=MINE)
        assert refused.status_code == 429
        assert "Too many attempts to log in" in refused.content.decode()
        later(timedelta(seconds=1))
        changed = client.post("/admin/password_change/", form | {"old_password": PASSWORD}, REMOTE_ADDR=MINE)
        assert changed.status_code == 302
