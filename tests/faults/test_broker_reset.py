"""A broker that lost everything, or crashed, under settings as deployed: messages flow again within seconds."""

import time
from pathlib import Path
from typing import Any

import pytest
from kombu.connection import Connection

from pangaea.servers import rabbitmq
from pangaea.testing import wait_until
from tests import rabbit_node
from tests.faults.landscape import Landscape, landscape

DEPLOYED = {"ANNOUNCE_FIRST": "1", "ANNOUNCE_AT_MOST": "60", "CATCH_UP_RENEWAL": "5", "QUEUE_CHECK": "5"}
"""The defaults. Frequent announcements would hide a recovery that waits for the next announcement."""

HEALING_SECONDS = 45.0
"""Less than the minute after which announcements are repeated. An idle machine takes some 15 s."""
CONNECTION: Any = Connection  # kombu has no types

pytestmark = pytest.mark.full


def flows_again(land: Landscape, *, seed: int, before: int) -> None:
    """Publish ticks and wait until they are recorded."""
    began = time.monotonic()
    land.publish(100, seed=seed)
    wait_until(lambda: land.written() >= before + 100, what="messages to flow again", seconds=HEALING_SECONDS)
    print(f"messages flow again after {time.monotonic() - began:.1f} s")  # noqa: T201 - a figure, for -s


class TestAVirtualHostThatIsDeletedAndRecreated:
    def test_has_its_queues_and_their_consumers_again(self, postgres_url: str, amqp_url: str, tmp_path: Path) -> None:
        with landscape(tmp_path, postgres_url=postgres_url, broker_url=amqp_url, **DEPLOYED) as land:
            relay, worker = land.relay(), land.worker()
            land.publish(100, seed=1)
            land.wait_written(100)
            rabbitmq.wipe(amqp_url)
            flows_again(land, seed=2, before=100)
            rabbitmq.wipe(amqp_url)
            flows_again(land, seed=3, before=200)
            assert relay.running
            assert worker.running


class TestBindingsThatAreLost:
    """A reset just after a worker declared its queues leaves consumers on queues that no exchange is bound to.

    A real reset leaves that state only at times, so the test deletes the exchange, and its bindings with it.
    """

    def test_are_recreated_before_the_next_announcements_are_minutes_apart(
        self, postgres_url: str, amqp_url: str, tmp_path: Path
    ) -> None:
        with landscape(tmp_path, postgres_url=postgres_url, broker_url=amqp_url, **DEPLOYED) as land:
            # As two services, so that the relay of `source` does not declare the queues of `ledger`.
            land.worker("source", PANGAEA_MODULES="source")
            relay, worker = land.relay(PANGAEA_MODULES="source"), land.worker("ledger", PANGAEA_MODULES="ledger")
            land.publish(100, seed=1)
            land.wait_written(100)
            with CONNECTION(amqp_url) as broker:
                broker.default_channel.exchange_delete(f"{land.environment['BROKER_PREFIX']}streams")
            flows_again(land, seed=2, before=100)
            assert relay.running
            assert worker.running


class TestANodeThatCrashes:
    def test_has_the_lost_queues_declared_again(
        self, postgres_url: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        """RabbitMQ 3.10 writes a quorum queue's name to disk half a second late: a queue lost before never answers."""
        with (
            rabbit_node.for_a_test(tmp_path_factory.mktemp("rabbit")) as node,
            landscape(tmp_path, postgres_url=postgres_url, broker_url=node.url, **DEPLOYED) as land,
        ):
            relay, worker = land.relay(), land.worker()
            land.publish(100, seed=1)
            land.wait_written(100)
            node.crash()
            flows_again(land, seed=2, before=100)
            assert relay.running
            assert worker.running
