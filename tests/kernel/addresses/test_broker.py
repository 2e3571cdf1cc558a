"""A broker's URL is understood in all its parts, or refused by name; kombu gets one that is spelled in one way."""

from typing import Any

import pytest
from kombu import connection as kombu

from pangaea.addresses import broker
from tests.kernel.configuration.test_settings import GOOD, problems

Connection: Any = kombu.Connection  # kombu has no types


class TestAVirtualHost:
    @pytest.mark.parametrize(
        ("path", "name"),
        [("", "/"), ("/", "/"), ("//", "/"), ("/%2F", "/"), ("/shop", "shop"), ("//shop", "/shop"), ("/a%2Fb", "a/b")],
    )
    def test_has_one_name_for_each_spelling(self, path: str, name: str) -> None:
        found = broker.parse(f"amqp://h{path}")
        assert found.space == name
        assert Connection(found.for_kombu()).virtual_host == name


class TestABroker:
    def test_has_each_part_decoded(self) -> None:
        found = broker.parse("amqps://us%2Fer:p%3Aa%40b%3Bc@mq.internal:5671/shop")
        (server,) = found.servers
        assert (server.user, server.password, server.host, server.port) == ("us/er", "p:a@b;c", "mq.internal", "5671")
        connection = Connection(found.for_kombu())
        assert (connection.userid, connection.password) == ("us/er", "p:a@b;c")
        assert (connection.hostname, connection.port) == ("mq.internal", 5671)

    def test_may_be_a_cluster(self) -> None:
        found = broker.parse("amqp://u:p@one:5673//;amqp://[::1]/")
        assert [(each.host, each.port, each.user) for each in found.servers] == [
            ("one", "5673", "u"),
            ("::1", "5672", "guest"),
        ]
        assert found.for_kombu() == "amqp://u:p@one:5673/%2F;amqp://guest:guest@[::1]:5672/%2F"

    @pytest.mark.parametrize(
        ("text", "number"),
        [("redis://h", "0"), ("redis://h/", "0"), ("redis://h/00", "0"), ("rediss://:p@h:1/15", "15")],
    )
    def test_has_the_number_of_a_database_of_redis(self, text: str, number: str) -> None:
        assert broker.parse(text).space == number
        assert Connection(broker.parse(text).for_kombu()).virtual_host == number

    @pytest.mark.parametrize("text", ["memory://", "memory://localhost/"])
    def test_may_be_in_the_process(self, text: str) -> None:
        assert broker.parse(text).is_in_process

    @pytest.mark.parametrize(
        ("text", "named"),
        [
            ("amqp://u:hunter2@h//?connection_timeout=5", "has connection_timeout in its query"),
            ("amqps://u:hunter2@h//?ssl_cert_reqs=none", "has ssl_cert_reqs in its query"),
            ("AMQP://u:hunter2@h//", "scheme in capitals"),
            ("sentinel://u:hunter2@h/0", "is for Redis Sentinel"),
            ("filesystem:///hunter2", "is for a bus in a folder"),
            ("unix:///run/hunter2.sock", "is for a socket of Redis"),
            ("redis+socket:///run/hunter2.sock", "is for a socket of Redis"),
            ("sqs://u:hunter2@h", "is for Amazon SQS"),
            ("pyamqp://u:hunter2@h//", "names a client"),
            ("kafka://u:hunter2@h", "has another scheme than amqp://"),
            ("hunter2", "is malformed: set a URL like amqps://"),
            ("redis://u:hunter2@h/shop", "is the number of a database"),
            ("redis://u:hunter2@h/0?db=1", "has db in its query"),
            ("redis://u:hunter2@h/0;redis://u:hunter2@h/1", "URLs that end differently"),
            ("redis://:hunter2@h/0;redis://h/0", "write the login into each"),
            ("amqp://u:hunter2@h//;amqps://u:hunter2@h//", "several schemes"),
            ("amqp://u:hunter2@h/a;amqp://u:hunter2@h/b", "URLs that end differently"),
            ("amqp://u:hunt;er2@h//", "write %3B for ;"),
            ("amqp://u:hunter2@h1,h2//", "several hosts in one URL"),
            ("amqp://u:hunter2@h:0//", "its port is a number"),
            ("amqp://u:hunter2@a..b//", "names no host"),
            ("amqp://", "names no host"),
            ("amqp://u:hun/ter2@h//", "has an @ after the first /"),
            ("amqp://u:hun#ter2@h//", "has a #"),
            ("amqp://u:hunter2%@h//", "has a % without two"),
            (f"amqp://{'u' * 256}:hunter2@h//", "more than 255 bytes"),
            ("memory://h/", "names a server for the bus inside this process"),
        ],
    )
    def test_is_refused_by_the_name_of_what_is_wrong(self, text: str, named: str) -> None:
        (problem,) = problems(GOOD | {"BROKER_URL": text, "UNVERIFIED_HOSTS": "h"}, "monolith")
        assert problem.startswith("BROKER_URL ")
        assert named in problem
        assert not any(part in problem for part in ("hunter2", "hunt", "ter2"))
