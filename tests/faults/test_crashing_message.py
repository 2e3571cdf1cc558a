"""A message that crashes its worker process is found and parked; the others of its batch are applied once."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pangaea.testing import wait_until
from tests.faults.landscape import HEALING_SECONDS, Landscape, landscape

COUNT = 600
CRASHING = "key-261"

pytestmark = pytest.mark.full


@pytest.fixture(params=["rabbitmq", "redis"])
def land(request: pytest.FixtureRequest, postgres_url: str, tmp_path: Path) -> Iterator[Landscape]:
    broker_url: str = request.getfixturevalue("amqp_url" if request.param == "rabbitmq" else "redis_url")
    settings = {"LANDSCAPE_CRASHING_KEY": CRASHING, "CATCH_UP_RENEWAL": "1", "DEAD_LETTER_PAUSE": "0.2"}
    with landscape(tmp_path, postgres_url=postgres_url, broker_url=broker_url, **settings) as held:
        yield held


class TestAHandlerThatKillsItsProcess:
    def test_is_found_and_its_neighbours_are_applied_once(self, land: Landscape) -> None:
        relay, worker = land.relay(), land.worker()
        land.publish(COUNT, seed=1)
        published = land.number("SELECT count(*) FROM source.pangaea_outbox WHERE key <> 'key-261'")
        assert 0 < published < COUNT

        wait_until(lambda: land.written() >= published, what="all others to be applied", seconds=HEALING_SECONDS)
        land.wait_written(published)
        found = "SELECT key, state, attempts, error FROM ledger.pangaea_dead_letter ORDER BY position"
        wait_until(lambda: land.query(found)[0][1] == "dead", what="three more crashes", seconds=HEALING_SECONDS)
        letters = land.query(found)
        assert [letter[:3] for letter in letters] == [
            (CRASHING, "dead", 4),
            *[(CRASHING, "behind", 0)] * (COUNT - published - 1),
        ]
        assert "ended 4 times while it handled this message" in letters[0][3]
        assert relay.running
        assert worker.running
