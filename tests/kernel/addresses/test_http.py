"""The URL of a key set or of a management API is understood in all its parts, or refused by name."""

import pytest

from pangaea.addresses import http
from pangaea.broker.management_api import Management
from pangaea.errors import Misconfigured
from tests.kernel.configuration.test_settings import GOOD, problems


class TestTheUrlOfAKeySet:
    @pytest.mark.parametrize(
        "text", ["https://users.example/jwks.json?tenant=1&x", "http://[::1]:8000/a%20b", "https://users.example/"]
    )
    def test_is_requested_as_it_is_written(self, text: str) -> None:
        assert http.parse(text, example="").text == text

    @pytest.mark.parametrize(
        ("text", "named"),
        [
            ("https://u:hunter2@h/jwks.json", "has a user or a password"),
            ("https://h/é", "has letters beyond ASCII"),
            ("https://straße.example/", "has letters beyond ASCII"),
            ("HTTPS://h/", "scheme in capitals"),
            ("https://h:0/", "its port is a number"),
            ("https://h/#keys", "has a #"),
            ("https://a..b/", "names no host"),
            ("https:///jwks.json", "names no host"),
            ("ftp://h/", "has another scheme than http://, https://"),
            ("users.example/jwks.json", "is malformed: set a URL like https://"),
        ],
    )
    def test_is_refused_by_the_name_of_what_is_wrong(self, text: str, named: str) -> None:
        (problem,) = problems(GOOD | {"JWKS_URL": text}, "monolith")
        assert problem.startswith("JWKS_URL ")
        assert named in problem
        assert "hunter2" not in problem


class TestTheUrlOfAManagementApi:
    @pytest.mark.parametrize(
        ("text", "named"),
        [
            ("http://h:15672", "names no user and password"),
            ("http://u@h:15672", "names no user and password"),
            ("http://u:hun/ter2@h:15672", "%2F for /"),
            ("http://u:hunter2@h:15672/?x=1", "has a query"),
            ("amqp://u:hunter2@h", "has another scheme than http://"),
        ],
    )
    def test_is_refused_by_the_name_of_what_is_wrong(self, text: str, named: str) -> None:
        with pytest.raises(Misconfigured) as refused:
            Management(text)
        assert named in str(refused.value)
        assert not any(part in str(refused.value) for part in ("hunter2", "ter2"))
