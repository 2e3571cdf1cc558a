"""A poison message among 10,000, in real processes: the others do not wait for it, and the worker retries it."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pangaea.testing import wait_until
from tests.faults.landscape import HEALING_SECONDS, Landscape, landscape

COUNT = 10_000
POISON = "key-7"
PARKED = "SELECT state FROM ledger.pangaea_dead_letter ORDER BY position"


@pytest.fixture
def land(postgres_url: str, amqp_url: str, tmp_path: Path) -> Iterator[Landscape]:
    settings = {"DEAD_LETTER_PAUSE": "1", "DEAD_LETTER_PAUSE_AT_MOST": "1", "DEAD_LETTER_ATTEMPTS": "1000"}
    with landscape(tmp_path, postgres_url=postgres_url, broker_url=amqp_url, **settings) as held:
        yield held


def rate(land: Landscape, already: int, count: int, *, seed: int) -> float:
    """Publish COUNT more, of which `count` can be applied; returns how many are applied per second."""
    land.publish(COUNT, seed=seed)
    started = time.monotonic()
    wait_until(lambda: land.written() >= already + count, what="all others to be applied", seconds=HEALING_SECONDS)
    return count / (time.monotonic() - started)


@pytest.mark.soak
class TestAPoisonMessageAmongTenThousand:
    def test_holds_up_its_own_key_alone_and_is_retried(self, land: Landscape) -> None:
        land.relay()
        sound = land.worker()
        land.publish(100, seed=1)
        land.wait_written(100)
        without = rate(land, 100, COUNT, seed=2)
        sound.stop()

        sick = replace(land, environment={**land.environment, "LANDSCAPE_POISON_KEY": POISON}).worker()
        land.publish(100, seed=3)
        poisonous = land.number("SELECT count(*) FROM source.pangaea_outbox WHERE id > 10100 AND key = 'key-7'")
        land.wait_written(COUNT + 200 - poisonous)
        with_poison = rate(land, COUNT + 200, COUNT - 20, seed=4)
        parked = [state for (state,) in land.query(PARKED)]
        wait_until(lambda: land.written() == 2 * COUNT + 200 - len(land.query(PARKED)), what="all others")
        assert parked == ["retrying"] + ["behind"] * (len(parked) - 1)
        assert len(parked) > 1
        sick.stop()

        print(f"\n{without:.0f}/s without poison, {with_poison:.0f}/s with it: {with_poison / without:.2f}")  # noqa: T201
        land.worker()
        land.wait_written(2 * COUNT + 200)
        assert land.query(PARKED) == []
