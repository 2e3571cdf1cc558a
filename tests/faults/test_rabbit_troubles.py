"""A RabbitMQ that answers and does not serve: each state counts as a lost connection, and heals."""

import json
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest

from pangaea.broker.management_api import Management
from pangaea.servers import rabbitmq
from pangaea.testing import wait_until
from tests.faults.landscape import Landscape, landscape
from tests.rabbit_node import Node

pytestmark = [pytest.mark.full, pytest.mark.soak]

TROUBLE_SECONDS = 3.0
EVERYTHING = json.dumps(dict.fromkeys(("configure", "write", "read"), ".*"))


class Broker:
    """A virtual host of the node, and its one login, which an operator changes."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._server = Management(rabbitmq.management_url(node.url))
        self._name = f"shop-{secrets.token_hex(4)}"
        self._password = secrets.token_hex(8)
        self._server.call("PUT", "vhosts", self._name)
        self._set_password(self._password)
        self._let(EVERYTHING)
        address = urlsplit(node.url)
        location = f"{self._name}:{self._password}@{address.netloc.rpartition('@')[2]}"
        self.url = urlunsplit((address.scheme, location, f"/{self._name}", "", ""))

    def close(self) -> None:
        self._server.call("DELETE", "vhosts", self._name)
        self._server.call("DELETE", "users", self._name)

    @contextmanager
    def another_password(self) -> Iterator[None]:
        self._set_password("another")
        self._node.control("close_all_connections", "--vhost", self._name, "another password")
        yield
        self._set_password(self._password)

    @contextmanager
    def deleted(self) -> Iterator[None]:
        self._server.call("DELETE", "vhosts", self._name)
        yield
        self._server.call("PUT", "vhosts", self._name)
        self._let(EVERYTHING)

    @contextmanager
    def forbidden(self) -> Iterator[None]:
        """Without any right: open connections stay, and each channel that uses one is closed."""
        self._let(json.dumps(dict.fromkeys(("configure", "write", "read"), "")))
        yield
        self._let(EVERYTHING)

    @contextmanager
    def out_of_memory(self) -> Iterator[None]:
        """With a memory alarm: connections that publish are blocked, and stay open."""
        self._node.control("set_vm_memory_high_watermark", "0.000001")
        try:
            yield
        finally:
            self._node.control("set_vm_memory_high_watermark", "0.4")

    def _set_password(self, password: str) -> None:
        self._server.call("PUT", "users", self._name, document=json.dumps({"password": password, "tags": ""}))

    def _let(self, rights: str) -> None:
        self._server.call("PUT", "permissions", self._name, self._name, document=rights)


@pytest.fixture
def broker(managed_rabbit: Node) -> Iterator[Broker]:
    held = Broker(managed_rabbit)
    yield held
    held.close()


@pytest.fixture
def land(broker: Broker, postgres_url: str, tmp_path: Path) -> Iterator[Landscape]:
    with landscape(tmp_path, postgres_url=postgres_url, broker_url=broker.url) as held:
        yield held


class TestARabbitMQThatDoesNotServe:
    def test_is_a_lost_connection_and_heals(self, land: Landscape, broker: Broker) -> None:
        relay, worker = land.relay(), land.worker()
        land.publish(100, seed=1)
        land.wait_written(100)
        troubles: list[Callable[[], AbstractContextManager[None]]] = [
            broker.another_password,
            broker.deleted,
            broker.forbidden,
            broker.out_of_memory,
        ]
        for seed, trouble in enumerate(troubles, start=2):
            before, written = relay.log.read_text().count("relay interrupted"), land.written()
            with trouble():
                land.publish(100, seed=seed)
                land.wait_state("relay", "source", "interrupted")
                until = time.monotonic() + TROUBLE_SECONDS
                wait_until(lambda: time.monotonic() > until, what=f"several attempts: {trouble.__name__}")  # noqa: B023
                assert land.is_ready("relay") is False
            land.wait_state("relay", "source", "leading")
            land.wait_state("worker", "queues", "consuming")
            land.wait_written(written + 100)
            assert relay.log.read_text().count("relay interrupted") <= before + 1
        for process in (relay, worker):
            assert process.running
            assert "Traceback" not in process.log.read_text()
