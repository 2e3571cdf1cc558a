"""What the broker loses is restored without an operator. Each test removes something under running processes."""

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis
from kombu.connection import Connection

from pangaea.broker import topology
from pangaea.configuration.declared import Declared
from pangaea.servers import rabbitmq
from pangaea.testing import wait_until
from tests.faults import proxy
from tests.faults.landscape import HEALING_SECONDS, Landscape, landscape
from tests.processes import MANAGE

QUEUE = "ledger.inbox.0of1"
CONNECTION: Any = Connection  # kombu has no types


@pytest.fixture
def on_rabbitmq(postgres_url: str, amqp_url: str, tmp_path: Path) -> Iterator[tuple[Landscape, proxy.Proxy]]:
    with ExitStack() as stack:
        between, url = stack.enter_context(proxy.before(amqp_url, 5672))
        land = landscape(tmp_path, postgres_url=postgres_url, broker_url=url)
        yield stack.enter_context(land), between


@pytest.fixture
def on_redis(postgres_url: str, redis_url: str, tmp_path: Path) -> Iterator[Landscape]:
    with landscape(tmp_path, postgres_url=postgres_url, broker_url=redis_url) as land:
        yield land


pytestmark = pytest.mark.full


class TestOnRabbitMQ:
    def test_a_broker_that_is_away_for_a_while_is_logged_once_and_nothing_is_lost(
        self, on_rabbitmq: tuple[Landscape, proxy.Proxy]
    ) -> None:
        land, between = on_rabbitmq
        relay, worker = land.relay(), land.worker()
        land.publish(100, seed=1)
        land.wait_written(100)

        between.down()
        land.publish(300, seed=2)
        land.wait_state("relay", "source", "interrupted")
        land.wait_state("worker", "queues", "interrupted")
        assert land.is_ready("relay") is False
        time_of_trouble = 3.0  # several attempts of both
        until = time.monotonic() + time_of_trouble
        wait_until(lambda: time.monotonic() > until, what="several attempts")
        assert land.written() == 100
        assert relay.tail.count("relay interrupted") == worker.tail.count("worker interrupted") == 1

        between.up()
        land.wait_written(400)
        land.wait_state("relay", "source", "leading")
        land.wait_state("worker", "queues", "consuming")
        assert relay.tail.count("relay became leader") == 2
        assert relay.running
        assert worker.running

    def test_a_queue_that_is_deleted_under_its_consumer_is_declared_and_consumed_again(
        self, on_rabbitmq: tuple[Landscape, proxy.Proxy]
    ) -> None:
        land, _ = on_rabbitmq
        land.relay()
        worker = land.worker()
        land.publish(100, seed=1)
        land.wait_written(100)

        with CONNECTION(land.environment["BROKER_URL"]) as broker:
            broker.default_channel.queue_delete(land.environment["BROKER_PREFIX"] + QUEUE)
        land.publish(100, seed=2)
        land.wait_written(200)
        assert worker.running

    def test_a_queue_that_is_deleted_and_declared_at_once_is_consumed_again(
        self, on_rabbitmq: tuple[Landscape, proxy.Proxy]
    ) -> None:
        land, _ = on_rabbitmq
        land.relay()
        worker = land.worker()
        land.publish(100, seed=1)
        land.wait_written(100)

        # Another process declares without a pause, so that the server sends the consumer no cancellation.
        name, stop = land.environment["BROKER_PREFIX"] + QUEUE, threading.Event()
        declaring = threading.Thread(target=declare_on_and_on, args=[land.environment["BROKER_URL"], name, stop])
        declaring.start()
        try:
            with CONNECTION(land.environment["BROKER_URL"]) as broker:
                broker.default_channel.queue_delete(name)
        finally:
            stop.set()
            declaring.join()
        land.publish(100, seed=2)
        land.wait_written(200)
        assert worker.running

    def test_a_queue_that_a_worker_may_not_declare_for_a_while_does_not_end_it(
        self, on_rabbitmq: tuple[Landscape, proxy.Proxy]
    ) -> None:
        """A refusal closes the channel, as when a queue is deleted just as it is consumed."""
        land, _ = on_rabbitmq
        land.relay()
        worker = land.worker()
        land.publish(100, seed=1)
        land.wait_written(100)

        with CONNECTION(land.environment["BROKER_URL"]) as broker:
            name = land.environment["BROKER_PREFIX"] + QUEUE
            wait_until(lambda: takes(broker, name), what="the queue to be the test's own")
            land.wait_state("worker", "queues", "interrupted")
            second = land.worker(name="-second")
            second.wait_logged("broker connection failed")
        land.publish(100, seed=2)
        land.wait_written(200)
        assert worker.running
        assert second.running

    def test_a_worker_that_was_off_while_its_queue_was_deleted_catches_up(
        self, on_rabbitmq: tuple[Landscape, proxy.Proxy]
    ) -> None:
        land, _ = on_rabbitmq
        land.relay()
        worker = land.worker()
        land.publish(100, seed=1)
        land.wait_written(100)
        worker.stop()

        with CONNECTION(land.environment["BROKER_URL"]) as broker:
            broker.default_channel.queue_delete(land.environment["BROKER_PREFIX"] + QUEUE)
        land.publish(1000, seed=2)
        wait_until(
            lambda: land.number("SELECT sum(sent) FROM source.pangaea_stream") == 1100,
            what="the relay to have sent",
            seconds=HEALING_SECONDS,
        )
        land.worker()
        land.wait_written(1100)

    def test_a_broker_that_lost_everything_has_its_topology_declared_again(
        self, on_rabbitmq: tuple[Landscape, proxy.Proxy], amqp_url: str
    ) -> None:
        land, between = on_rabbitmq
        relay, worker = land.relay(), land.worker()
        land.publish(100, seed=1)
        land.wait_written(100)

        between.down()
        land.publish(300, seed=2)
        rabbitmq.wipe(amqp_url)
        between.up()
        land.publish(100, seed=3)
        land.wait_written(500)
        rabbitmq.wipe(amqp_url)
        land.publish(100, seed=4)
        land.wait_written(600)
        assert relay.running
        assert worker.running


class TestOnRedis:
    def test_everything_flushed_is_declared_again_under_a_running_consumer(self, on_redis: Landscape) -> None:
        land = on_redis
        relay, worker = land.relay(), land.worker()
        land.publish(100, seed=1)
        land.wait_written(100)

        address = urlsplit(land.environment["BROKER_URL"])
        with redis.Redis(host=str(address.hostname), port=int(address.port or 6379)) as client:
            client.flushall()
        land.publish(100, seed=2)
        land.wait_written(200)
        land.publish(100, seed=3)
        land.wait_written(300)
        assert relay.running
        assert worker.running

    def test_a_queue_without_a_consumer_is_bounded_by_its_senders(
        self, postgres_url: str, redis_url: str, tmp_path: Path
    ) -> None:
        bounded = {"QUEUE_LENGTH": "16", "RELAY_BATCH": "1"}
        with landscape(tmp_path, postgres_url=postgres_url, broker_url=redis_url, **bounded) as land:
            worker = land.worker()
            land.wait_state("worker", "queues", "consuming")
            worker.stop()
            # As a service of its own it lacks the other module's code, which declares the subscriptions.
            alone = {**land.environment, "PANGAEA_MODULES": "source"}
            land.workspace.start("relay", (*MANAGE, "relay"), alone)
            land.publish(160, seed=1)
            wait_until(
                lambda: land.number("SELECT sum(sent) FROM source.pangaea_stream") == 160,
                what="all to be sent",
                seconds=HEALING_SECONDS,
            )
            with redis.Redis.from_url(redis_url) as client:
                name = land.environment["BROKER_PREFIX"] + QUEUE
                wait_until(lambda: int(client.llen(name)) <= 16, what="the queue to be cut", seconds=HEALING_SECONDS)
            worker.start()
            land.wait_written(160)


def declare_on_and_on(url: str, name: str, stop: threading.Event) -> None:
    """Declare the queue as its worker does until `stop` is set; the server refuses while the queue is being deleted."""
    queue: Any = topology.queues(Declared(), ["orders"], virtual=False)[0]
    while not stop.is_set():
        with CONNECTION(url) as broker, suppress(*broker.connection_errors, *broker.channel_errors):
            while not stop.is_set():
                broker.default_channel.queue_declare(
                    name, durable=True, auto_delete=False, arguments=queue.queue_arguments
                )


def takes(broker: Any, name: str) -> bool:
    """Whether this connection, and not the worker, declared the queue after it was deleted."""
    try:
        with broker.channel() as channel:
            channel.queue_delete(name)
            channel.queue_declare(name, exclusive=True)
    except (*broker.connection_errors, *broker.channel_errors):
        return False
    return True
