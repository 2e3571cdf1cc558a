"""The broker's login is replaced process by process while messages flow, and then deleted."""

import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest

from pangaea.broker.management_api import Management
from pangaea.servers import rabbitmq
from pangaea.testing import wait_until
from tests.faults.landscape import HEALING_SECONDS, landscape
from tests.rabbit_node import Node

TICKS, RATE = 3_000, 150
STEP = 200


@pytest.fixture
def logins(managed_rabbit: Node) -> Iterator[tuple[str, str]]:
    """The URLs of two logins, for the test's own virtual host."""
    with rabbitmq.virtual_host(managed_rabbit.url) as url:
        address = urlsplit(url)
        server = Management(rabbitmq.management_url(managed_rabbit.url))
        urls = []
        for name in ("shop", "shop-2"):
            password = secrets.token_hex(8)
            server.call("PUT", "users", name, document=json.dumps({"password": password, "tags": ""}))
            rights = json.dumps(dict.fromkeys(("configure", "write", "read"), ".*"))
            server.call("PUT", "permissions", address.path.strip("/"), name, document=rights)
            location = f"{name}:{password}@{address.netloc.rpartition('@')[2]}"
            urls.append(urlunsplit((address.scheme, location, address.path, "", "")))
        yield urls[0], urls[1]
        for name in {"shop", "shop-2"} & {each["name"] for each in server.call("GET", "users")}:
            server.call("DELETE", "users", name)


@pytest.mark.full
class TestTwoLoginsInTurn:
    def test_follow_each_other_under_a_running_stream(
        self, postgres_url: str, managed_rabbit: Node, logins: tuple[str, str], tmp_path: Path
    ) -> None:
        first, second = logins
        with landscape(tmp_path, postgres_url=postgres_url, broker_url=first) as land:

            def wait_for_more() -> None:
                enough = min(land.written() + STEP, TICKS)
                wait_until(lambda: land.written() >= enough, what="the stream to go on", seconds=HEALING_SECONDS)

            relay, worker = land.relay(), land.worker("ledger")
            land.wait_state("relay", "source", "leading")
            writer = land.writer(count=TICKS, rate=RATE)
            wait_for_more()
            land.relay("-next", BROKER_URL=second)
            relay.stop()
            wait_for_more()
            land.worker("ledger", name="-next", BROKER_URL=second)
            worker.stop()
            wait_for_more()
            Management(rabbitmq.management_url(managed_rabbit.url)).call("DELETE", "users", "shop")
            wait_for_more()
            assert writer.running or land.written() == TICKS
            land.wait_written(TICKS)
            for process in land.workspace.processes:
                log = process.log.read_text()
                assert "broker message refused" not in log
                assert "ACCESS_REFUSED" not in log
