"""A cache's URL is understood in all its parts, or refused by name; redis-py gets the same parts."""

from typing import Any

import pytest
from redis import connection as client

from pangaea.addresses import cache
from pangaea.errors import Misconfigured

parse_url: Any = client.parse_url  # it has no types


class TestACache:
    def test_has_each_part_decoded_alike_by_the_client(self) -> None:
        found = cache.parse("rediss://us%2Fer:p%3Aa%40b%3Fc@cache.internal/7")
        (server,) = found.servers
        assert (server.user, server.password, server.host, found.space) == ("us/er", "p:a@b?c", "cache.internal", "7")
        parts = parse_url(found.for_kombu())
        assert (parts["username"], parts["password"]) == ("us/er", "p:a@b?c")
        assert (parts["host"], parts["port"], parts["db"]) == ("cache.internal", 6379, 7)

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("amqp://u:hunter2@h//", "another scheme than redis://, rediss://"),
            ("memory://localhost/", "another scheme than redis://, rediss://"),
            ("sentinel://:hunter2@h/0", "Redis Sentinel, which is not supported"),
            ("h:6379", "set a URL like rediss://"),
            ("redis:///0", "set a URL like rediss://"),
            ("rediss://:hunter2@h/0?ssl_cert_reqs=none", "set it without a query"),
            ("redis://a/0;redis://b/0", "set one URL"),
            ("redis://:hunter2@h/shop", "number of a database"),
            ("redis://:hunter2@h:port/0", "set a URL like rediss://"),
        ],
    )
    def test_that_is_not_understood_is_refused(self, text: str, reason: str) -> None:
        with pytest.raises(Misconfigured, match=f"(?i){reason}") as refusal:
            cache.parse(text)
        assert "hunter2" not in str(refusal.value)
