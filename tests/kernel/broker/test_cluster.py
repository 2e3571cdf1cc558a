"""Of a cluster, each process uses a server that answers, with the same rules at each."""

import secrets
from collections.abc import Iterator
from dataclasses import replace

import pytest
from celery import Celery
from pytest_django import Settings

from pangaea.addresses import broker
from pangaea.broker import celery_app, redis_transport, sending, topology
from pangaea.testing import free_port


@pytest.fixture(params=["amqp_url", "redis_url"])
def app(request: pytest.FixtureRequest, settings: Settings) -> Iterator[Celery]:
    """The bus of a cluster whose first server does not answer."""
    url: str = request.getfixturevalue(request.param)
    (server,) = broker.parse(url).servers
    dead = url.replace(f":{server.port}", f":{free_port()}")
    settings.PANGAEA = replace(settings.PANGAEA, broker_url=f"{dead};{url}", broker_prefix=f"{secrets.token_hex(4)}.")
    app = celery_app.make_app(settings.PANGAEA)
    yield app
    app.pool.force_close_all()


class TestACluster:
    @pytest.mark.parametrize("seconds", [sending.BROKER_TIMEOUT, sending.REQUEST_TIMEOUT])
    def test_takes_messages_at_the_server_that_answers(self, app: Celery, seconds: float) -> None:
        topology.declare(app)
        sending.send(app, "pangaea.deliver", [("nothing.all.0", b"{}")], seconds=seconds)

    def test_has_the_checks_of_entries_at_every_server(self, app: Celery) -> None:
        with app.connection_for_read() as connection:
            connection.ensure_connection(max_retries=1, interval_start=0)
            is_redis = connection.transport.driver_type == "redis"
            assert isinstance(connection.transport, redis_transport.Transport) == is_redis
