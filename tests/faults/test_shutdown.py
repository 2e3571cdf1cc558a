"""SIGTERM under load, for each kind of process: what it is at is finished, and nothing is lost or doubled."""

import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any, LiteralString

import msgspec
import pytest
from kombu.connection import Connection

from pangaea import bus
from pangaea.messages import Batch
from pangaea.testing import wait_until
from tests.faults.landscape import HEALING_SECONDS, Landscape, landscape
from tests.processes import Process

pytestmark = pytest.mark.full

MESSAGES = 6000
RESTARTS = 5
QUEUE = "ledger.inbox.0"


def told_to_end(process: Process, *, times: int) -> int:
    """Send SIGTERM so often, at once; the exit status."""
    for _ in range(times):
        os.kill(process.popen.pid, signal.SIGTERM)
    return process.popen.wait(timeout=HEALING_SECONDS)


def unacknowledged(land: Landscape) -> list[Batch]:
    """The batches that lie in the ledger's queue although its cursors have passed them. They stay there."""
    found: list[Batch] = []

    def take(message: Any) -> None:
        if message.headers["task"] == bus.DELIVER:
            found.append(msgspec.json.decode(message.body, type=Batch))

    connection: Any = Connection  # kombu has no types
    with connection(land.environment["BROKER_URL"]) as broker:
        channel = broker.default_channel
        name = land.environment["BROKER_PREFIX"] + QUEUE
        channel.basic_consume(name, callback=take)
        with suppress(TimeoutError):
            while True:
                broker.drain_events(timeout=1)
    assert found, "nothing waits, so this shows nothing"
    cursors = dict(land.query("SELECT partition, position FROM ledger.pangaea_cursor"))
    return [each for each in found if each.messages and each.last <= cursors.get(each.partition, 0)]


def wait_more(land: Landscape, statement: LiteralString, process: Process) -> None:
    """Wait until the process has moved something since."""
    before = land.number(statement)

    def moved() -> bool:
        process.check()
        return land.number(statement) > before

    wait_until(moved, what=f"{process.name} to be at work", seconds=HEALING_SECONDS)


@pytest.mark.parametrize("times", [1, 3], ids=["told once", "told thrice"])
class TestARelayToldToEnd:
    def test_settles_what_it_sent(self, postgres_url: str, amqp_url: str, tmp_path: Path, times: int) -> None:
        with landscape(tmp_path, postgres_url=postgres_url, broker_url=amqp_url, RELAY_PASS="50") as land:
            land.worker("ledger")
            writer = land.writer(count=MESSAGES, rate=600)
            for _ in range(RESTARTS):
                relay = land.relay()
                wait_more(land, "SELECT sum(sent) FROM source.pangaea_stream", relay)
                assert told_to_end(relay, times=times) == 0, relay.tail
                # Whatever has a place was sent, and that is written down: the next relay repeats nothing.
                assert land.number("SELECT sum(head - sent) FROM source.pangaea_stream") == 0
            land.relay()
            assert writer.popen.wait(timeout=HEALING_SECONDS) == 0, writer.tail
            land.wait_written(MESSAGES)
            assert land.behind() == 0


@pytest.mark.parametrize("times", [1, 3], ids=["told once", "told thrice"])
class TestAWorkerToldToEnd:
    def test_commits_and_acknowledges_what_it_is_at(
        self, postgres_url: str, amqp_url: str, tmp_path: Path, times: int
    ) -> None:
        with landscape(tmp_path, postgres_url=postgres_url, broker_url=amqp_url, RELAY_BATCH="50") as land:
            land.relay()
            # Answers the ledger's questions: what is looked at in its queue lies there in another order afterwards.
            land.worker("source")
            writer = land.writer(count=MESSAGES, rate=600)
            for nth in range(RESTARTS):
                worker = land.worker("ledger")
                wait_more(land, "SELECT count(*) FROM ledger.ledger_entry", worker)
                assert told_to_end(worker, times=times) == 0, worker.tail
                assert "Traceback" not in worker.tail
                if nth == 0:
                    # Later ones may hold what somebody asked for again besides what was sent anyway.
                    assert unacknowledged(land) == []
            land.worker("ledger")
            assert writer.popen.wait(timeout=HEALING_SECONDS) == 0, writer.tail
            land.wait_written(MESSAGES)
            assert land.number("SELECT count(*) FROM ledger.pangaea_dead_letter") == 0
