"""A broker that is silent delays no probe, and holds a consumer that sends requests for seconds only."""

import socket
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from time import monotonic

import httpx
import pytest
from pytest_django import Settings

from pangaea.broker import celery_app, sending, topology
from pangaea.processes.maintenance import Maintenance
from pangaea.telemetry.components import Component
from pangaea.testing import free_port
from pangaea.wire import CatchUp
from tests.faults import proxy

PROBE_TIMEOUT = 5.0

QUESTION = CatchUp(
    subscription="web_bff.home", source="orders", audience="all", partition=5, position=7, message_id=None
)


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """A server that accepts connections and sends nothing."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        yield server


@pytest.fixture(params=["amqp://guest:guest@127.0.0.1:{}//", "redis://127.0.0.1:{}/0"])
def broker(request: pytest.FixtureRequest, settings: Settings, silent: socket.socket) -> Iterator[None]:
    """The process's broker is that server."""
    url = request.param.format(silent.getsockname()[1])
    settings.PANGAEA = replace(settings.PANGAEA, broker_url=url)
    celery_app.app.cache_clear()
    yield
    celery_app.app.cache_clear()


@pytest.mark.usefixtures("broker")
class TestMaintenanceWhoseBrokerIsSilent:
    def test_delays_no_probe(self, silent: socket.socket) -> None:
        maintenance = Maintenance([Component("orders")], health_port=(port := free_port()))
        maintenance.probes.start()
        maintenance.start()
        try:
            with closing(silent.accept()[0]) as asking:
                answer = httpx.get(f"http://127.0.0.1:{port}/livez", timeout=PROBE_TIMEOUT, trust_env=False)
                assert answer.status_code == httpx.codes.OK
                # The thread that asks the broker still waits for its answer.
                assert still_open(asking)
        finally:
            silent.close()
            maintenance.stop()


def still_open(connection: socket.socket) -> bool:
    """Whether the client has not closed its end."""
    connection.setblocking(False)
    try:
        while connection.recv(1024):
            pass
    except BlockingIOError:
        return True
    return False


class TestARequestToABrokerThatDoesNotConfirm:
    @pytest.mark.parametrize("broker_url", ["amqp_url", "redis_url"])
    def test_holds_its_sender_for_seconds_and_the_next_ones_not_at_all(
        self, request: pytest.FixtureRequest, settings: Settings, broker_url: str
    ) -> None:
        with proxy.before(request.getfixturevalue(broker_url), 5672) as (between, url):
            settings.PANGAEA = replace(settings.PANGAEA, broker_url=url, broker_prefix="asked.")
            with closing(celery_app.make_app(settings.PANGAEA)) as app:
                topology.declare(app)
                sending.send_requests(app, [QUESTION])
                between.lose(answers_only=True)
                began = monotonic()
                sending.send_requests(app, [QUESTION])
                assert monotonic() - began < sending.BROKER_TIMEOUT / 2
                connections = between.lose()
                sending.send_requests(app, [QUESTION])
                assert between.lose() == connections, "it connected again, to ask"
