"""Queues and bindings under changed settings, on each broker: missing ones are created, unneeded ones deleted."""

import secrets
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from celery import Celery
from kombu.exceptions import OperationalError
from pytest_django import Settings
from redis import Redis

from pangaea.broker import celery_app, redis_queues, sending, topology
from pangaea.outbox.batches import Outgoing
from pangaea.testing import wait_until

MODULE = "web_bff"
RECREATED = "queue recreated"
NEVER, AT_ONCE = timedelta(hours=1), timedelta(0)

Process = Callable[..., Celery]
"""Makes an app with changed settings, like a process that starts with them."""


def batch(routing_key: str, size: int = 2) -> Outgoing:
    return Outgoing(stream=1, routing_key=routing_key, body=b"x" * size, last=1, last_id=None)


def starting(settings: Settings, url: str) -> Iterator[Process]:
    apps: list[Celery] = []
    settings.PANGAEA = replace(
        settings.PANGAEA, broker_url=url, broker_prefix=f"{secrets.token_hex(4)}.", queue_expiry=NEVER
    )

    def start(**changed: Any) -> Celery:
        celery = celery_app.make_app(replace(settings.PANGAEA, **changed))
        names = [name for name in celery.amqp.queues if topology.module_of_queue(name) == MODULE]
        celery.amqp.queues.select(names)
        for other in set(celery.amqp.queues) - set(names):
            del celery.amqp.queues[other]
        apps.append(celery)
        return celery

    yield start
    with apps[0].connection_for_write() as connection:
        for name in {name for celery in apps for name in celery.amqp.queues}:
            with suppress(*connection.channel_errors), connection.channel() as channel:
                channel.queue_delete(name)
    for each in apps:
        each.close()


@pytest.fixture
def on_rabbitmq(settings: Settings, amqp_url: str) -> Iterator[Process]:
    yield from starting(settings, amqp_url)


@pytest.fixture
def on_redis(settings: Settings, redis_url: str) -> Iterator[Process]:
    yield from starting(settings, redis_url)


@pytest.fixture(params=["amqp_url", "redis_url"])
def start(request: pytest.FixtureRequest, settings: Settings) -> Iterator[Process]:
    yield from starting(settings, request.getfixturevalue(request.param))


def waiting(celery: Celery) -> dict[str, int]:
    """How many messages are in each of the app's queues that exist."""
    found: dict[str, int] = {}
    with celery.connection_for_read() as connection:
        for name in celery.amqp.queues:
            with suppress(*connection.channel_errors), connection.channel() as channel:
                found[name] = channel.queue_declare(name, passive=True).message_count
    return found


def name_of(celery: Celery) -> str:
    (name,) = celery.amqp.queues
    return str(name)


class TestAChangedNumberOfQueues:
    def test_leaves_the_queues_of_both_settings_to_their_processes(self, start: Process) -> None:
        old, new = start(), start(queues_per_module=4)
        for _ in range(2):
            topology.declare(old)
            topology.declare(new)
        sending.send_batches(new, [batch(f"orders.all.{partition}") for partition in range(8)])
        wait_until(lambda: sum(waiting(old).values()) == 8, what="all partitions in the one queue")
        wait_until(lambda: list(waiting(new).values()) == [2] * 4, what="all partitions in the four queues")

    @pytest.mark.full
    def test_lets_rabbitmq_delete_a_queue_without_consumer(self, on_rabbitmq: Process) -> None:
        old, new = on_rabbitmq(queue_expiry=timedelta(seconds=1)), on_rabbitmq(queues_per_module=2)
        topology.declare(old)
        topology.declare(new)
        wait_until(lambda: not waiting(old), what="the queue to expire", seconds=30)
        assert len(waiting(new)) == 2

    def test_removes_bindings_and_queues_on_redis_whose_lease_has_ended(
        self, on_redis: Process, settings: Settings
    ) -> None:
        old, new = on_redis(), on_redis(queues_per_module=2)
        topology.declare(old)
        topology.declare(new)
        sending.send_batches(new, [batch("orders.all.0")])
        assert waiting(old)
        settings.PANGAEA = replace(settings.PANGAEA, queue_expiry=AT_ONCE)
        topology.declare(new)
        assert not waiting(old)
        assert bound(new) == {
            (name, each.routing_key) for name, queue in new.amqp.queues.items() for each in queue.bindings
        }


def bound(celery: Celery) -> set[tuple[str, str]]:
    """Queue and routing key of each binding on Redis."""
    exchange = next(iter(celery.amqp.queues.values())).bindings.copy().pop().exchange.name
    with celery.connection_for_read() as connection:
        return {(queue, key) for key, _, queue in connection.default_channel.get_table(exchange)}


class TestAChangedArgument:
    def test_recreates_the_queue_at_a_process_first_check(
        self, on_rabbitmq: Process, caplog: pytest.LogCaptureFixture
    ) -> None:
        old, new = on_rabbitmq(queue_length=7), on_rabbitmq(queue_length=9)
        topology.declare(old)
        sending.send_batches(old, [batch("orders.all.0")])
        wait_until(lambda: waiting(old) == {name_of(old): 1}, what="the message")
        topology.declare(new)
        topology.declare(new)
        assert waiting(new) == {name_of(new): 0}
        assert caplog.text.count(RECREATED) == 1
        assert "x-max-length" in caplog.text

    def test_is_left_to_the_newer_process_until_a_roll_out_must_be_over(
        self, on_rabbitmq: Process, settings: Settings, caplog: pytest.LogCaptureFixture
    ) -> None:
        old, new = on_rabbitmq(queue_length=7), on_rabbitmq(queue_length=9)
        for each in (old, new, old, new, old):
            topology.declare(each)
        assert caplog.text.count(RECREATED) == 1
        sending.send_batches(old, [batch("orders.all.0")])
        wait_until(lambda: waiting(old) == {name_of(old): 1}, what="the message")
        settings.PANGAEA = replace(settings.PANGAEA, queue_expiry=AT_ONCE)
        topology.declare(old)
        assert caplog.text.count(RECREATED) == 2
        assert waiting(old) == {name_of(old): 0}

    def test_does_not_hinder_a_consumer(self, on_rabbitmq: Process) -> None:
        old, new = on_rabbitmq(queue_length=7), on_rabbitmq(queue_length=9)
        topology.declare(old)
        topology.declare(new)
        with old.connection_for_read() as connection:
            old.amqp.Consumer(connection.default_channel, list(old.amqp.queues.values())).consume()


class TestABindingOfFormerSettings:
    """On RabbitMQ a client cannot list bindings: the messages that it delivers show it."""

    def test_is_removed_with_its_queue_once_it_has_delivered_for_queue_expiry(
        self, on_rabbitmq: Process, settings: Settings, caplog: pytest.LogCaptureFixture
    ) -> None:
        celery = on_rabbitmq()
        topology.declare(celery)
        with celery.connection_for_write() as connection:
            exchange = topology.exchange(settings.PANGAEA).name
            connection.default_channel.queue_bind(name_of(celery), exchange, "atlantis.all.*")
        received = consume(celery, ["orders.all.0", f"atlantis.{MODULE}.0", "atlantis.all.0"], expected=3)
        assert len(received) == 3
        topology.declare(celery)
        assert RECREATED not in caplog.text
        settings.PANGAEA = replace(settings.PANGAEA, queue_expiry=AT_ONCE)
        topology.declare(celery)
        assert caplog.text.count(RECREATED) == 1
        assert consume(celery, ["atlantis.all.0", "orders.all.0"], expected=1) == ["orders.all.0"]
        topology.declare(celery)
        assert caplog.text.count(RECREATED) == 1


def consume(celery: Celery, keys: list[str], *, expected: int) -> list[str]:
    """Send with these routing keys; returns the routing keys of the messages that the module's queue delivers."""
    received: list[str] = []

    def receive(_body: Any, message: Any) -> None:
        received.append(message.delivery_info["routing_key"])
        message.ack()

    sending.send_batches(celery, [batch(key) for key in keys])
    with celery.connection_for_read() as connection:
        queues = list(celery.amqp.queues.values())
        with celery.amqp.Consumer(connection.default_channel, queues, callbacks=[receive], accept=["pangaea"]):

            def enough() -> bool:
                with suppress(TimeoutError):
                    connection.drain_events(timeout=0.1)
                return len(received) >= expected

            wait_until(enough, what=f"{expected} messages")
    return received


class TestAQueueThatDidNotAnswer:
    def test_is_recreated_at_its_next_declaration(self, on_rabbitmq: Process, caplog: pytest.LogCaptureFixture) -> None:
        celery = on_rabbitmq()
        topology.declare(celery)
        sending.send_batches(celery, [batch("orders.all.0")])
        wait_until(lambda: waiting(celery) == {name_of(celery): 1}, what="the message")
        celery.queue_differences.note_unanswered(name_of(celery))
        topology.declare(celery)
        topology.declare(celery)
        assert waiting(celery) == {name_of(celery): 0}
        assert caplog.text.count("it did not answer") == 1


class TestAQueueThatIsFull:
    KIBIBYTE = 1 << 10

    def test_drops_the_oldest_batches_on_rabbitmq_by_their_bytes(self, on_rabbitmq: Process) -> None:
        celery = on_rabbitmq(queue_bytes=16 * self.KIBIBYTE)
        topology.declare(celery)
        sending.send_batches(celery, [batch("orders.all.0", 4 * self.KIBIBYTE) for _ in range(10)])
        wait_until(lambda: 0 < waiting(celery)[name_of(celery)] <= 4, what="the oldest to be dropped")

    def test_drops_the_oldest_batches_on_redis_by_their_bytes(self, on_redis: Process, settings: Settings) -> None:
        celery = on_redis()
        topology.declare(celery)
        sending.send_batches(celery, [batch(f"orders.all.{number % 8}", 4 * self.KIBIBYTE) for number in range(40)])
        assert waiting(celery) == {name_of(celery): 40}
        settings.PANGAEA = replace(settings.PANGAEA, queue_bytes=64 * self.KIBIBYTE)
        topology.declare(celery)
        count = waiting(celery)[name_of(celery)]
        assert 1 < count < 16
        received = consume(celery, [], expected=count)
        assert received == [f"orders.all.{number % 8}" for number in range(40 - count, 40)]

    def test_keeps_one_batch_on_redis_however_large(self, on_redis: Process) -> None:
        celery = on_redis()
        topology.declare(celery)
        sending.send_batches(celery, [batch("orders.all.0", 4 * self.KIBIBYTE) for _ in range(2)])
        with celery.connection_for_write() as connection:
            redis_queues.bound(connection.default_channel.client, name_of(celery), length=10, size=self.KIBIBYTE)
        assert waiting(celery) == {name_of(celery): 1}

    def test_is_bounded_by_number_only_where_redis_refuses_memory_usage(
        self, redis_url: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        user, queue = secrets.token_hex(4), secrets.token_hex(4)
        with Redis.from_url(redis_url) as owner:
            owner.acl_setuser(user, enabled=True, nopass=True, keys="*", categories=["+@all"], commands=["-memory"])
            owner.lpush(queue, *range(10))
            with Redis.from_url(redis_url, username=user, password="any") as client:
                for _ in range(2):
                    redis_queues.bound(client, queue, length=7, size=1)
            assert owner.llen(queue) == 7
            owner.delete(queue)
            owner.acl_deluser(user)
        assert caplog.text.count("MEMORY USAGE") == 1


class TestAnExchangeOfAnotherType:
    """It takes every message and routes none, or each to all."""

    def test_is_refused_with_the_remedy(self, on_rabbitmq: Process, settings: Settings) -> None:
        celery, name = on_rabbitmq(), topology.exchange(settings.PANGAEA).name
        with celery.connection_for_write() as connection:
            channel = connection.default_channel
            channel.exchange_declare(name, "direct", durable=True, auto_delete=False)
            for _ in range(2):
                with pytest.raises(OperationalError, match=rf"{name}.*'type'.*delete it"):
                    topology.declare(celery)
            channel.exchange_delete(name)
        topology.declare(celery)
        sending.send_batches(celery, [batch("orders.all.0")])
        wait_until(lambda: waiting(celery) == {name_of(celery): 1}, what="the message")
