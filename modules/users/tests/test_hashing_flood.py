"""A flood of log-ins occupies a few threads of the web process, and no other request waits for it."""

import threading
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, ClassVar

import pytest
from django.contrib.auth.hashers import MD5PasswordHasher
from django.db import connections
from django.test import Client
from pytest_django import Settings

from pangaea.identity.password_hashing import Bounded

THREADS = 8
FLOOD = 24
SECONDS = 20


class _Stuck(MD5PasswordHasher):
    algorithm = "stuck"
    release: ClassVar[threading.Event] = threading.Event()
    running: ClassVar[list[str]] = []

    def encode(self, password: str, salt: str) -> str:
        self.running.append(salt)
        assert self.release.wait(SECONDS * 2)
        return super().encode(password, salt)


class StuckHasher(Bounded, _Stuck):
    """Hashes until the test releases it."""


@pytest.fixture
def stuck(settings: Settings) -> Iterator[type[_Stuck]]:
    settings.PASSWORD_HASHERS = [f"{__name__}.StuckHasher"]
    _Stuck.release.clear()
    _Stuck.running.clear()
    yield _Stuck
    _Stuck.release.set()


def fetch(path: str, data: dict[str, Any] | None = None, **options: Any) -> Any:
    try:
        client = Client()
        return client.post(path, data, **options) if data else client.get(path)
    finally:
        connections.close_all()


def kinds_of_requests(number: int) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """The requests that hash: log-ins of customers and operators, registrations."""
    email = f"customer-{number}@example.com"
    json = {"content_type": "application/json"}
    return (
        ("/api/v1/tokens", {"email": email, "password": "x"}, json),
        ("/admin/login/", {"username": email, "password": "x"}, {}),
        ("/api/v1/accounts", {"email": email, "password": "tectonic plates", "full_name": "A"}, json),
    )[number % 3]


@pytest.mark.django_db(transaction=True, databases="__all__")
class TestAFlood:
    def test_stops_no_other_request(self, stuck: type[_Stuck]) -> None:
        with ThreadPoolExecutor(THREADS) as web:
            flood: list[Future[Any]] = []
            for number in range(FLOOD):
                path, data, options = kinds_of_requests(number)
                flood.append(web.submit(fetch, path, data, **options))
            other = web.submit(fetch, "/.well-known/jwks.json")
            try:
                done, _ = wait([other], timeout=SECONDS, return_when=FIRST_COMPLETED)
                assert other in done, "another request waits for the flood"
                assert other.result().status_code == 200
                assert len(stuck.running) <= 2
            finally:
                stuck.release.set()
        answers = [each.result() for each in flood]
        refused = [answer for answer in answers if answer.status_code == 503]
        assert refused
        assert all(answer.headers["Retry-After"] == "2" for answer in refused)
        # Each log-in was tried or was answered with 503: there is no third outcome.
        assert {answer.status_code for answer in answers} <= {503, 401, 200, 201}
