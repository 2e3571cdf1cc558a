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
"""The defaults: frequent announcements would hide what waits for the next one."""

HEALING_SECONDS = 45.0
"""Less than the minute after which announcements are repeated; some 15 s on a machine of its own."""
CONNECTION: Any = Connection  # kombu has no types

pytestmark = pytest.mark.full


def flows_again(land: Landscape, *, seed: int, before: int) -> None:
    """Publish ticks and wait until they are written."""
    began = time.monotonic()
    land.say(100, seed=seed)
    wait_until(lambda: land.written() >= before + 100, what="messages to flow again", seconds=HEALING_SECONDS)
    print(f"messages flow again after {time.monotonic() - began:.1f} s")  # noqa: T201 - a figure, for -s


class TestAVirtualHostThatIsRemovedAndMadeAgain:
    def test_has_its_queues_and_their_consumers_again(self, postgres_url: str, amqp_url: str, tmp_path: Path) -> None:
        with landscape(tmp_path, postgres_url=postgres_url, broker_url=amqp_url, **DEPLOYED) as land:
            relay, worker = land.relay(), land.worker()
            land.say(100, seed=1)
            land.wait_written(100)
            rabbitmq.wipe(amqp_url)
            flows_again(land, seed=2, before=100)
            rabbitmq.wipe(amqp_url)
            flows_again(land, seed=3, before=200)
            assert relay.running
            assert worker.running


class TestBindingsThatAreLost:
    """What a reset leaves where a worker declared its queues just before it: consumers of queues that nothing reaches.

    Which of both is faster in a reset is up to the server; here the exchange is deleted, and its bindings with it.
    """

    def test_are_made_again_before_the_next_announcements_are_minutes_apart(
        self, postgres_url: str, amqp_url: str, tmp_path: Path
    ) -> None:
        with landscape(tmp_path, postgres_url=postgres_url, broker_url=amqp_url, **DEPLOYED) as land:
            # As services: the relay of the one does not declare the queues of the other.
            land.worker("source", PANGAEA_MODULES="source")
            relay, worker = land.relay(PANGAEA_MODULES="source"), land.worker("ledger", PANGAEA_MODULES="ledger")
            land.say(100, seed=1)
            land.wait_written(100)
            with CONNECTION(amqp_url) as broker:
                broker.default_channel.exchange_delete(f"{land.environment['BROKER_PREFIX']}streams")
            flows_again(land, seed=2, before=100)
            assert relay.running
            assert worker.running


class TestANodeThatCrashes:
    def test_gets_queues_again_for_those_that_did_not_survive(
        self, postgres_url: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        """RabbitMQ 3.10 notes a quorum queue's name on disk half a second later: what it lost then never answers."""
        with (
            rabbit_node.for_a_test(tmp_path_factory.mktemp("rabbit")) as node,
            landscape(tmp_path, postgres_url=postgres_url, broker_url=node.url, **DEPLOYED) as land,
        ):
            relay, worker = land.relay(), land.worker()
            land.say(100, seed=1)
            land.wait_written(100)
            node.crash()
            flows_again(land, seed=2, before=100)
            assert relay.running
            assert worker.running
