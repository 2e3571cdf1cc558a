"""Dead connections to the broker that neither end closes: each process detects them and reconnects."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from pangaea.testing import wait_until
from tests.faults import proxy
from tests.faults.landscape import HEALING_SECONDS, Landscape, landscape

FINDING_SECONDS = 150.0
"""A connection is given up after half a minute of silence; a worker may have to give up two."""
SENT = "SELECT sum(sent) FROM source.pangaea_stream"

pytestmark = pytest.mark.full


@pytest.fixture(params=["rabbitmq", "redis"])
def through(
    request: pytest.FixtureRequest, postgres_url: str, tmp_path: Path
) -> Iterator[tuple[Landscape, proxy.Proxy]]:
    """A landscape whose processes reach the broker through a proxy."""
    broker_url: str = request.getfixturevalue("amqp_url" if request.param == "rabbitmq" else "redis_url")
    with ExitStack() as stack:
        between, url = stack.enter_context(proxy.before(broker_url, 5672))
        # The defaults: a check at a frequent announcement would find a dead connection by chance.
        settings = {"ANNOUNCE_AT_MOST": "60", "QUEUE_CHECK": "60"}
        land = landscape(tmp_path, postgres_url=postgres_url, broker_url=url, **settings)
        yield stack.enter_context(land), between


class TestDeadConnections:
    @pytest.mark.parametrize("rate", [0, 100], ids=["idle", "at work"])
    def test_are_given_up_by_relay_and_worker(self, through: tuple[Landscape, proxy.Proxy], rate: int) -> None:
        land, between = through
        relay, worker = land.relay(), land.worker()
        land.publish(100, seed=1)
        land.wait_written(100)
        if rate:
            land.writer(count=500, rate=rate)
            wait_until(lambda: land.written() > 100, what="the writer to be at work", seconds=HEALING_SECONDS)

        assert between.lose() > 0
        if not rate:
            land.publish(500, seed=2)
        wait_until(lambda: land.number(SENT) == 600, what="the relay to send again", seconds=FINDING_SECONDS)
        wait_until(lambda: land.written() >= 600, what="the worker to receive again", seconds=FINDING_SECONDS)
        land.wait_written(600)
        assert relay.running
        assert worker.running
