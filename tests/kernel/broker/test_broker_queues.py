"""The state of the modules' queues, read from the brokers."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from celery import Celery
from kombu.exceptions import OperationalError
from pytest_django import Settings

from pangaea.broker import celery_app, queue_status, sending, topology
from pangaea.broker.queue_status import QueueStatus
from pangaea.outbox.batches import Outgoing
from pangaea.testing import free_port, wait_until

PREFIX = "counted."


@pytest.fixture
def celery(request: pytest.FixtureRequest, settings: Settings) -> Iterator[Celery]:
    """An app on the broker of the parametrised fixture, with its queues declared and empty."""
    settings.PANGAEA = replace(
        settings.PANGAEA, broker_url=request.getfixturevalue(request.param), broker_prefix=PREFIX
    )
    app = celery_app.make_app(settings.PANGAEA)
    topology.declare(app)
    with app.connection_for_write() as connection:
        for queue in app.amqp.queues.values():
            queue(connection.default_channel).purge()
    yield app
    app.close()


def of_web_bff(celery: Celery) -> QueueStatus:
    (found,) = queue_status.read(celery, ["web_bff"])
    return found


class TestRabbitMQ:
    @pytest.mark.parametrize("celery", ["amqp_url"], indirect=True)
    def test_counts_batches_and_consumers(self, celery: Celery) -> None:
        sending.send_batches(celery, [Outgoing(stream=1, routing_key="orders.all.0", body=b"{}", last=1, last_id=None)])
        wait_until(lambda: of_web_bff(celery).batches == 1, what="the batch")
        assert of_web_bff(celery).consumers == 0
        with celery.connection_for_read() as connection:
            queue = celery.amqp.queues[of_web_bff(celery).name]
            queue(connection.default_channel).consume("worker", lambda _message: None)
            wait_until(lambda: of_web_bff(celery).consumers == 1, what="the consumer")

    @pytest.mark.parametrize("celery", ["amqp_url"], indirect=True)
    def test_names_a_missing_queue(self, celery: Celery) -> None:
        name = of_web_bff(celery).name
        with celery.connection_for_write() as connection:
            celery.amqp.queues[name](connection.default_channel).delete()
        wait_until(lambda: not of_web_bff(celery).exists, what="the queue to be deleted")
        assert {each.exists for each in queue_status.read(celery, ["orders"])} == {True}


class TestRedis:
    @pytest.mark.parametrize("celery", ["redis_url"], indirect=True)
    def test_counts_batches_only(self, celery: Celery) -> None:
        sending.send_batches(celery, [Outgoing(stream=1, routing_key="orders.all.0", body=b"{}", last=1, last_id=None)])
        assert (of_web_bff(celery).batches, of_web_bff(celery).consumers) == (1, None)


class TestAnUnreachableBroker:
    @pytest.mark.parametrize("url", ["amqp://guest:guest@127.0.0.1:{}//", "redis://127.0.0.1:{}/0"])
    def test_is_an_error(self, settings: Settings, url: str) -> None:
        settings.PANGAEA = replace(settings.PANGAEA, broker_url=url.format(free_port()))
        app = celery_app.make_app(settings.PANGAEA)
        with pytest.raises((OperationalError, OSError)):
            queue_status.read(app, ["web_bff"])
        app.close()


class TestTheBusInMemory:
    def test_has_no_queues_that_another_process_could_see(self, settings: Settings) -> None:
        settings.PANGAEA = replace(settings.PANGAEA, broker_url="memory://")
        assert queue_status.read(celery_app.make_app(settings.PANGAEA), ["web_bff"]) == []


class TestAQueueOfOtherSettings:
    @pytest.mark.parametrize("celery", ["amqp_url", "redis_url"], indirect=True)
    def test_is_shown_as_left_over(self, celery: Celery, settings: Settings) -> None:
        former = celery_app.make_app(replace(settings.PANGAEA, queues_per_module=2))
        topology.declare(former)
        for each in (queue for name, queue in former.amqp.queues.items() if "web_bff" in name):
            with former.connection_for_write() as connection:
                each(connection.default_channel).purge()
        sending.send_batches(former, [Outgoing(stream=1, routing_key="orders.all.1", body=b"{}", last=1, last_id=None)])
        names = [f"{PREFIX}web_bff.inbox.{number}of2" for number in range(2)]

        def left_over() -> dict[str, int]:
            return {each.name: each.batches for each in queue_status.read(celery, ["web_bff"]) if each.is_left_over}

        wait_until(lambda: left_over() == {names[0]: 0, names[1]: 1}, what="the batch")
        with former.connection_for_write() as connection:
            for queue in former.amqp.queues.values():
                queue(connection.default_channel).delete()
        former.close()


class TestAQueueThatThisUserMayNotRead:
    @pytest.mark.parametrize("celery", ["amqp_url"], indirect=True)
    def test_is_an_error_and_not_a_missing_queue(self, celery: Celery) -> None:
        name = of_web_bff(celery).name
        with celery.connection_for_write() as holder:
            celery.amqp.queues[name](holder.default_channel).delete()
            holder.default_channel.queue_declare(name, exclusive=True)
            with pytest.raises(OperationalError, match="RESOURCE_LOCKED"):
                queue_status.read(celery, ["web_bff"])
