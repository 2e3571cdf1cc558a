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
