"""Settings of queues change while messages flow: rolled out and back, with processes of both settings at once."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kombu.connection import Connection

from pangaea.testing import wait_until
from tests.faults.landscape import HEALING_SECONDS, Landscape, landscape

REPLACED = "queue recreated"
CONNECTION: Any = Connection  # kombu has no types

pytestmark = pytest.mark.full


@pytest.fixture(params=["amqp_url", "redis_url"])
def land(request: pytest.FixtureRequest, postgres_url: str, tmp_path: Path) -> Iterator[Landscape]:
    """A landscape whose unused queues expire soon."""
    url = request.getfixturevalue(request.param)
    with landscape(tmp_path, postgres_url=postgres_url, broker_url=url, QUEUE_EXPIRY="3") as held:
        yield held


def exists(land: Landscape, queue: str) -> bool:
    """Whether the broker has that queue of the ledger; on Redis, whether it is bound."""
    name = f"{land.environment['BROKER_PREFIX']}ledger.inbox.{queue}"
    with CONNECTION(land.environment["BROKER_URL"]) as broker:
        channel = broker.default_channel
        if broker.transport.driver_type == "redis":
            return any(each == name for *_, each in channel.get_table(f"{land.environment['BROKER_PREFIX']}streams"))
        try:
            channel.queue_declare(name, passive=True)
        except broker.channel_errors:
            return False
        return True


class TestAnotherNumberOfQueues:
    def test_is_rolled_out_and_back_beside_processes_with_the_former_number(self, land: Landscape) -> None:
        relay, worker = land.relay(), land.worker()
        land.publish(100, seed=1)
        land.wait_written(100)

        new_worker = land.worker(name="-new", QUEUES_PER_MODULE="2")
        land.wait_state("worker-new", "queues", "consuming")
        land.publish(100, seed=2)
        land.wait_written(200)
        worker.stop()
        relay.stop()
        new_relay = land.relay("-new", QUEUES_PER_MODULE="2")
        land.publish(100, seed=3)
        land.wait_written(300)
        wait_until(lambda: not exists(land, "0of1"), what="the former queue to go", seconds=HEALING_SECONDS)
        assert exists(land, "0of2")
        assert exists(land, "1of2")

        worker.start()
        land.wait_state("worker", "queues", "consuming")
        new_worker.stop()
        new_relay.stop()
        relay.start()
        land.publish(100, seed=4)
        land.wait_written(400)
        wait_until(
            lambda: not exists(land, "0of2") and not exists(land, "1of2"),
            what="the queues of the change that was rolled back to be deleted",
            seconds=HEALING_SECONDS,
        )
        assert exists(land, "0of1")


class TestAnotherLength:
    def test_takes_effect_while_a_relay_with_the_former_length_runs(
        self, postgres_url: str, amqp_url: str, tmp_path: Path
    ) -> None:
        with landscape(tmp_path, postgres_url=postgres_url, broker_url=amqp_url) as land:
            relay, worker = land.relay(), land.worker()
            land.publish(100, seed=1)
            land.wait_written(100)
            new = land.worker(name="-new", QUEUE_LENGTH="500")
            new.wait_logged(REPLACED)
            land.wait_state("worker-new", "queues", "consuming")
            land.publish(100, seed=2)
            land.wait_written(200)
            worker.stop()
            land.publish(100, seed=3)
            land.wait_written(300)
            queues = 2  # of both modules
            assert new.tail.count(REPLACED) == queues
            assert relay.tail.count(REPLACED) == worker.tail.count(REPLACED) == 0
            assert relay.running
            assert new.running
