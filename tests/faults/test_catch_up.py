"""A subscriber that is far behind, while more arrives: it takes a handful of requests, not one per gap."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pangaea.testing import wait_until
from tests.faults.landscape import Landscape, landscape

BACKLOG, RATE = 100_000, 200
SECONDS = 240.0
HANDFUL = 40
SENT = "SELECT coalesce(sum(sent), 0) FROM source.pangaea_stream"

pytestmark = pytest.mark.soak


@pytest.fixture
def land(postgres_url: str, amqp_url: str, tmp_path: Path) -> Iterator[Landscape]:
    settings = {"ANNOUNCE_FIRST": "1", "ANNOUNCE_AT_MOST": "60", "CATCH_UP_RENEWAL": "5"}
    with landscape(tmp_path, postgres_url=postgres_url, broker_url=amqp_url, **settings) as land:
        yield land


class TestASubscriber:
    def test_that_was_off_catches_up_while_more_arrives(self, land: Landscape) -> None:
        land.relay()
        worker = land.worker()
        land.publish(1000, seed=1)
        land.wait_written(1000)
        worker.stop()
        self._misses(land, BACKLOG, sent=BACKLOG + 1000)
        self._catches_up(land, name="was off")

    def test_that_is_new_catches_up_from_zero_while_more_arrives(self, land: Landscape) -> None:
        land.relay()
        self._misses(land, BACKLOG, sent=BACKLOG)
        self._catches_up(land, name="is new")

    @staticmethod
    def _misses(land: Landscape, count: int, *, sent: int) -> None:
        land.publish(count, seed=2)
        wait_until(lambda: land.number(SENT) == sent, what="the relay to have sent", seconds=SECONDS)
        land.purge("ledger.inbox.0of1")

    @staticmethod
    def _catches_up(land: Landscape, *, name: str) -> None:
        before = land.behind()
        writer = land.writer(count=100_000, rate=RATE)
        wait_until(lambda: land.behind() > before + 2 * RATE, what="the writer to write", seconds=SECONDS)
        started, missed = time.monotonic(), land.behind()
        worker = land.worker()
        wait_until(lambda: land.behind() < RATE, what="the ledger to catch up", seconds=SECONDS)
        seconds = time.monotonic() - started
        writer.stop()
        total = land.number("SELECT count(*) FROM source.pangaea_outbox")
        land.wait_written(total)
        requests = worker.log.read_text().count("catch-up requested")
        live = total - missed
        print(f"a subscriber that {name}: {missed:,} missed, {live:,} more: {seconds:.1f} s, {requests} requests")  # noqa: T201 - figures
        assert requests <= HANDFUL
