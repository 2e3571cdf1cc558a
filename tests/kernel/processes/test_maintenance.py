"""A silent broker delays no probe and kills no process, and blocks a sender of requests for seconds at most."""

import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from time import monotonic
from uuid import uuid4

import httpx
import pytest
from django.utils import timezone
from pytest_django import Settings

from pangaea.api.idempotency_records import IdempotencyRecord
from pangaea.broker import celery_app, sending, topology
from pangaea.processes.maintenance import Maintenance, declare_queues
from pangaea.telemetry.components import Component, State
from pangaea.testing import free_port, wait_until
from pangaea.wire import CatchUp
from tests.faults import proxy

PROBE_TIMEOUT = 5.0

REQUEST = CatchUp(
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
            with closing(silent.accept()[0]) as connection:
                answer = httpx.get(f"http://127.0.0.1:{port}/livez", timeout=PROBE_TIMEOUT, trust_env=False)
                assert answer.status_code == httpx.codes.OK
                # The thread that asks the broker still waits for its answer.
                assert still_open(connection)
        finally:
            silent.close()
            maintenance.stop()

    @pytest.mark.django_db(databases=["orders"], transaction=True)
    def test_prunes_idempotency_records(self) -> None:
        records = IdempotencyRecord.objects.using("orders")
        for days in (31, 2, 0):
            records.create(
                subject=uuid4(),
                operation="POST things",
                key=str(days),
                fingerprint="",
                resource="/",
                status=200,
                headers={},
                body=b"",
                created_at=timezone.now() - timedelta(days=days),
            )
        maintenance = Maintenance([Component("orders")], pruned=["orders"])
        maintenance.start()
        try:
            wait_until(
                lambda: sorted(records.values_list("key", "status")) == [("0", 200), ("2", None)],
                what="the records to be pruned",
            )
        finally:
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


class StoppingComponent(Component):
    """A component that sets `stop` at its second report."""

    def __init__(self, stop: threading.Event) -> None:
        super().__init__("orders")
        self._stop = stop
        self.states: list[State] = []

    def report(self, state: State, reason: str = "") -> float | None:
        self.states.append(state)
        if len(self.states) > 1:
            self._stop.set()
        return super().report(state, reason)


class TestDeclareQueues:
    def test_reports_with_each_attempt_that_the_process_is_alive(self, settings: Settings) -> None:
        url = f"amqp://guest:guest@127.0.0.1:{free_port()}//"
        settings.PANGAEA = replace(settings.PANGAEA, broker_url=url)
        celery_app.app.cache_clear()
        try:
            component = StoppingComponent(stop := threading.Event())
            declare_queues([component], stop)
        finally:
            celery_app.app.cache_clear()
        assert component.states == [State.STARTING, State.STARTING]


class TestARequestToABrokerThatDoesNotConfirm:
    @pytest.mark.parametrize("broker_url", ["amqp_url", "redis_url"])
    def test_blocks_its_sender_for_seconds_and_the_next_ones_not_at_all(
        self, request: pytest.FixtureRequest, settings: Settings, broker_url: str
    ) -> None:
        with proxy.before(request.getfixturevalue(broker_url), 5672) as (between, url):
            settings.PANGAEA = replace(settings.PANGAEA, broker_url=url, broker_prefix="asked.")
            with closing(celery_app.make_app(settings.PANGAEA)) as app:
                topology.declare(app)
                sending.send_requests(app, [REQUEST])
                between.lose(answers_only=True)
                began = monotonic()
                sending.send_requests(app, [REQUEST])
                assert monotonic() - began < sending.BROKER_TIMEOUT / 2
                connections = between.lose()
                sending.send_requests(app, [REQUEST])
                assert between.lose() == connections, "a paused request opened a connection"
