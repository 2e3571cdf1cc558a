"""A Redis that answers and does not serve: each state counts as a lost connection, and heals."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from pangaea.servers import valkey
from pangaea.testing import free_port, wait_until
from tests.faults.landscape import Landscape, landscape

pytestmark = pytest.mark.full

OPERATOR, PASSWORD = "operator", "a test's own"
TROUBLE_SECONDS = 1.0
TROUBLES = {
    "a replica": (("REPLICAOF", "127.0.0.1", str(free_port())), ("REPLICAOF", "NO", "ONE")),
    "full": (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0")),
    "closed to the login": (("ACL", "SETUSER", "default", "off"), ("ACL", "SETUSER", "default", "on")),
    "forbidden": (("ACL", "SETUSER", "default", "-@all"), ("ACL", "SETUSER", "default", "+@all")),
}


@pytest.fixture
def land(postgres_url: str, tmp_path: Path) -> Iterator[tuple[Landscape, Any]]:
    """A landscape on a Redis of its own, and the client of an operator, whose rights no trouble changes."""
    with valkey.server() as url, redis.Redis.from_url(url) as first:
        first.execute_command("ACL", "SETUSER", OPERATOR, "on", f">{PASSWORD}", "~*", "&*", "+@all")
        with (
            redis.Redis.from_url(url, username=OPERATOR, password=PASSWORD) as operator,
            landscape(tmp_path, postgres_url=postgres_url, broker_url=url) as held,
        ):
            yield held, operator


class TestARedisThatDoesNotServe:
    def test_is_a_lost_connection_and_heals(self, land: tuple[Landscape, Any]) -> None:
        landscape, operator = land
        relay, worker = landscape.relay(), landscape.worker()
        landscape.publish(100, seed=1)
        landscape.wait_written(100)
        for seed, (trouble, (begin, end)) in enumerate(TROUBLES.items(), start=2):
            written = landscape.written()
            interruptions = relay.log.read_text().count("relay interrupted")
            operator.execute_command(*begin)
            operator.client_kill_filter(_type="normal", skipme=True)
            landscape.publish(100, seed=seed)
            landscape.wait_state("relay", "source", "interrupted")
            until = time.monotonic() + TROUBLE_SECONDS
            wait_until(lambda: time.monotonic() > until, what=f"several attempts while Redis is {trouble}")  # noqa: B023
            assert landscape.is_ready("relay") is False
            operator.execute_command(*end)
            landscape.wait_state("relay", "source", "leading")
            landscape.wait_state("worker", "queues", "consuming")
            landscape.wait_written(written + 100)
            assert relay.log.read_text().count("relay interrupted") == interruptions + 1
        for process in (relay, worker):
            assert process.running
            assert "Traceback" not in process.log.read_text()
