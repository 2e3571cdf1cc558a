"""The bus on each broker: messages arrive unchanged, in the queues of their subscribers only."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from amqp.exceptions import MessageNacked
from celery import Celery
from django.conf import settings
from kombu.exceptions import OperationalError
from pytest_django import Settings

from pangaea import modules
from pangaea.broker import admission, celery_app, sending, topology
from pangaea.broker.publisher_confirms import Confirms
from pangaea.configuration.declared import Declared
from pangaea.errors import RefusedByBroker
from pangaea.outbox.batches import BATCH_LENGTH, Outgoing
from pangaea.processes import worker
from pangaea.servers import rabbitmq, valkey
from pangaea.testing import free_port, wait_until
from pangaea.wire import CatchUp
from tests.rabbit_node import Node

BODY = b'{"source": "orders", "messages": [ 1.50 ]}'
PREFIX = "test."
SECONDS = 2
"""For a broker that is frozen in the middle of a test."""


def batch(routing_key: str, body: bytes = BODY) -> Outgoing:
    return Outgoing(stream=1, routing_key=routing_key, body=body, last=1, last_id=None)


@pytest.fixture
def declared(settings: Settings) -> Declared:
    settings.PANGAEA = replace(settings.PANGAEA, broker_prefix="", queues_per_module=1)
    configuration: Declared = settings.PANGAEA
    return configuration


class TestQueues:
    def test_are_bound_to_the_streams_that_their_module_subscribes_to(self, declared: Declared) -> None:
        assert keys(declared, "web_bff") == {
            "web_bff.inbox.0of1": [
                "*.web_bff.*",
                *(f"{source}.all.*" for source in sorted(topology.sources_of("web_bff"))),
            ]
        }

    def test_share_the_partitions(self, declared: Declared) -> None:
        queues = keys(replace(declared, queues_per_module=4), "orders")
        assert list(queues) == [f"orders.inbox.{number}of4" for number in range(4)]
        for number, bound in enumerate(queues.values()):
            assert {key.rpartition(".")[2] for key in bound} == {str(number), str(number + 4)}
            prefixes = {key.rpartition(".")[0] for key in bound}
            assert prefixes == {"*.orders", *(f"{source}.all" for source in topology.sources_of("orders"))}
        every = [key for bound in queues.values() for key in bound]
        assert len(every) == len(set(every))

    def test_are_named_by_prefix_and_module(self, settings: Settings, declared: Declared) -> None:
        settings.PANGAEA = prefixed = replace(declared, broker_prefix="blue.")
        assert list(keys(prefixed, "orders")) == ["blue.orders.inbox.0of1"]
        assert topology.exchange(prefixed).name == "blue.streams"
        assert topology.module_of_queue("blue.orders.inbox.0of1") == "orders"

    def test_are_bounded_and_have_one_consumer_on_rabbitmq(self, declared: Declared) -> None:
        wanted = replace(declared, queue_length=7, queue_bytes=1 << 20, queue_expiry=timedelta(minutes=2))
        queues: list[Any] = topology.queues(wanted, ["orders"], virtual=False)
        assert [queue.queue_arguments for queue in queues] == [
            {
                "x-queue-type": "quorum",
                "x-single-active-consumer": True,
                "x-delivery-limit": 20,
                "x-max-length": 7,
                "x-max-length-bytes": 1 << 20,
                "x-overflow": "drop-head",
                "x-expires": 120_000,
            }
        ]

    def test_of_a_module_are_not_those_of_one_with_a_longer_name(self) -> None:
        assert [topology.module_of_queue(name) for name in worker.queue_names(["web_bff"])] == ["web_bff"]
        assert worker.queue_names(["bff"]) == []


def keys(declared: Declared, label: str) -> dict[str, list[str]]:
    """The routing keys that each of a module's queues is bound to."""
    return {
        queue.name: sorted(each.routing_key for each in queue.bindings)
        for queue in topology.queues(declared, [label], virtual=True)
    }


class Listener:
    """A consumer of every queue of an app, like all its workers together."""

    def __init__(self, celery: Celery) -> None:
        self.received: list[tuple[str, bytes]] = []
        self._connection = celery.connection_for_read()
        self._consumer = celery.amqp.Consumer(
            self._connection.default_channel,
            list(celery.amqp.queues.values()),
            callbacks=[self._receive],
            accept=["pangaea"],
        )
        self._consumer.consume()

    def _receive(self, body: Any, message: Any) -> None:
        (argument,), keywords, embedded = body
        assert (keywords, embedded) == ({}, {})
        self.received.append((topology.module_of_queue(message.headers["x_queue"]), argument))
        message.ack()

    def wait_for(self, count: int) -> list[tuple[str, bytes]]:
        """The first `count` messages, in the order of their queues."""

        def enough() -> bool:
            with suppress(TimeoutError):
                self._connection.drain_events(timeout=0.1)
            return len(self.received) >= count

        wait_until(enough, what=f"{count} messages")
        return sorted(self.received)

    def close(self) -> None:
        self._connection.release()


@pytest.fixture(params=["amqp_url", "redis_url"])
def celery(request: pytest.FixtureRequest, settings: Settings) -> Iterator[Celery]:
    """An app on a real broker, with its queues declared and empty."""
    url: str = request.getfixturevalue(request.param)
    settings.PANGAEA = replace(settings.PANGAEA, broker_url=url, broker_prefix=PREFIX)
    app = celery_app.make_app(settings.PANGAEA)
    topology.declare(app)
    with app.connection_for_write() as connection:
        for queue in app.amqp.queues.values():
            queue(connection.default_channel).purge()
    yield app
    app.close()


@pytest.fixture
def listener(celery: Celery) -> Iterator[Listener]:
    listening = Listener(celery)
    yield listening
    listening.close()


class TestSending:
    def test_delivers_the_bytes_to_every_subscribers_queue(self, celery: Celery, listener: Listener) -> None:
        subscribers = sorted(label for label in modules.labels() if "orders" in topology.sources_of(label))
        assert "web_bff" in subscribers
        sending.send_batches(celery, [batch("orders.all.3")])
        assert listener.wait_for(len(subscribers)) == [(label, BODY) for label in subscribers]

    def test_keeps_the_order_of_a_queue(self, celery: Celery, listener: Listener) -> None:
        bodies = [str(number).encode() for number in range(50)]
        sending.send_batches(celery, [batch(f"users.web_bff.{number % 8}", body) for number, body in enumerate(bodies)])
        listener.wait_for(50)
        assert listener.received == [("web_bff", body) for body in bodies]

    def test_delivers_a_message_for_one_module_to_that_module_only(self, celery: Celery, listener: Listener) -> None:
        sending.send_batches(celery, [batch("users.orders.0"), batch("orders.web_bff.0")])
        assert listener.wait_for(2) == [("orders", BODY), ("web_bff", BODY)]

    def test_without_a_subscriber_is_no_error(self, celery: Celery, listener: Listener) -> None:
        sending.send_batches(
            celery, [batch("atlantis.all.0", b"1"), batch("users.atlantis.0", b"2"), batch("users.orders.0")]
        )
        assert listener.wait_for(1) == [("orders", BODY)]

    def test_delivers_a_request_to_the_producer_only(self, celery: Celery, listener: Listener) -> None:
        request = CatchUp(
            subscription="web_bff.home", source="orders", audience="all", partition=5, position=7, message_id=None
        )
        sending.send_requests(celery, [request])
        ((module, body),) = listener.wait_for(1)
        assert module == "orders"
        assert b'"position":7' in body

    def test_reaches_queues_that_were_declared_twice(self, celery: Celery, listener: Listener) -> None:
        topology.declare(celery)
        sending.send_batches(celery, [batch("users.orders.0")])
        assert listener.wait_for(1) == [("orders", BODY)]


class TestConfirms:
    @pytest.fixture
    def celery(self, amqp_url: str, settings: Settings) -> Iterator[Celery]:
        settings.PANGAEA = replace(settings.PANGAEA, broker_url=amqp_url, broker_prefix=PREFIX)
        app = celery_app.make_app(settings.PANGAEA)
        topology.declare(app)
        yield app
        app.close()

    def test_have_arrived_for_every_batch_when_sending_returns(self, celery: Celery) -> None:
        with queue_of(celery, "orders.all.#") as (channel, name):
            for _ in range(3):
                sending.send_batches(celery, [batch(f"orders.all.{number % 8}") for number in range(100)])
            assert channel.queue_delete(name) == 300

    def test_that_the_broker_refuses_raise_and_the_next_batch_is_sent(self, celery: Celery) -> None:
        arguments = {"x-max-length": 1, "x-overflow": "reject-publish"}
        with queue_of(celery, "users.all.#", arguments), pytest.raises(MessageNacked):
            sending.send_batches(celery, [batch("users.all.0") for _ in range(20)])
        sending.send_batches(celery, [batch("users.all.0")])

    def test_may_come_in_any_order_and_several_at_once(self) -> None:
        channel = ChannelDouble()
        confirms = Confirms(channel)
        for _ in range(5):
            confirms.expect()
        channel.confirmed = [(2, False), (4, True), (5, False)]
        confirms.wait(channel, 1)
        assert channel.confirmed == []

    @pytest.mark.full
    def test_are_awaited_until_the_timeout_only(self, managed_rabbit: Node, settings: Settings) -> None:
        with rabbitmq.virtual_host(managed_rabbit.url) as url:
            settings.PANGAEA = replace(settings.PANGAEA, broker_url=url, broker_prefix=PREFIX)
            app = celery_app.make_app(settings.PANGAEA)
            topology.declare(app)
            large = [(f"users.all.{number}", b" " * BATCH_LENGTH) for number in range(8)]
            sending.send(app, admission.DELIVER, large[:1], seconds=SECONDS)
            with managed_rabbit.frozen(), pytest.raises(OperationalError):
                sending.send(app, admission.DELIVER, large, seconds=SECONDS)
            sending.send_batches(app, [batch("users.all.0")])
            app.close()


@contextmanager
def queue_of(celery: Celery, routing_keys: str, arguments: dict[str, Any] | None = None) -> Iterator[tuple[Any, str]]:
    """A queue that ends with its connection, bound to these routing keys; its channel and its name."""
    with celery.connection_for_write() as connection:
        channel: Any = connection.default_channel
        name = channel.queue_declare(exclusive=True, arguments=arguments).queue
        channel.queue_bind(name, topology.exchange(settings.PANGAEA).name, routing_keys)
        yield channel, name


class ChannelDouble:
    """A channel that confirms on demand: a real broker's order cannot be chosen."""

    def __init__(self) -> None:
        self.events: dict[str, set[Any]] = defaultdict(set)
        self.confirmed: list[tuple[int, bool]] = []
        self.connection = self

    def confirm_select(self) -> None:
        """Does nothing: the double confirms from its start."""

    def drain_events(self, timeout: float) -> None:
        assert timeout
        for callback in self.events["basic_ack"]:
            callback(*self.confirmed.pop(0))


class TestAnUnreachableBroker:
    @pytest.fixture(params=["amqp://guest:guest@127.0.0.1:{}//", "redis://127.0.0.1:{}/0"])
    def nowhere(self, request: pytest.FixtureRequest, settings: Settings) -> Iterator[Celery]:
        settings.PANGAEA = replace(settings.PANGAEA, broker_url=request.param.format(free_port()))
        app = celery_app.make_app(settings.PANGAEA)
        yield app
        app.close()

    def test_is_one_kind_of_error_on_every_transport(self, nowhere: Celery) -> None:
        with pytest.raises(OperationalError):
            sending.send_batches(nowhere, [batch("orders.all.0")])
        with pytest.raises(OperationalError):
            topology.declare(nowhere)

    def test_is_the_same_error_when_it_stops_later(self, settings: Settings) -> None:
        with valkey.server() as url:
            settings.PANGAEA = replace(settings.PANGAEA, broker_url=url)
            app = celery_app.make_app(settings.PANGAEA)
            sending.send_batches(app, [batch("orders.all.0")])
        with pytest.raises(OperationalError):
            sending.send_batches(app, [batch("orders.all.0")])
        app.close()

    def test_raises_nothing_for_a_catch_up_request(self, nowhere: Celery) -> None:
        request = CatchUp(
            subscription="web_bff.home", source="orders", audience="all", partition=5, position=7, message_id=None
        )
        sending.send_requests(nowhere, [request])


@pytest.mark.full
class TestABatchTooLargeForTheBroker:
    def test_is_refused_alone(self, managed_rabbit: Node, settings: Settings) -> None:
        with rabbitmq.virtual_host(managed_rabbit.url) as url:
            settings.PANGAEA = replace(settings.PANGAEA, broker_url=url, broker_prefix=PREFIX)
            app = celery_app.make_app(settings.PANGAEA)
            topology.declare(app)
            send = sending.BatchSender(app)
            listener = Listener(app)
            with pytest.raises(RefusedByBroker, match="max size"):
                send([batch("users.orders.0", b" " * (17 * 1024 * 1024)), batch("users.orders.1")])
            send([batch("users.orders.1", b"1")])
            assert ("orders", b"1") in listener.wait_for(1)
            listener.close()
            app.close()
