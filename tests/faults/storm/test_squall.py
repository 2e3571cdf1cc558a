import secrets
from collections.abc import Callable, Sequence

import pytest

from pangaea.testing.databases import scratch_database
from tests.faults.storm import campaign
from tests.faults.storm.campaign import Plan
from tests.faults.storm.deployment import QUEUES
from tests.faults.storm.figures import Row
from tests.faults.storm.servers import Queues
from tests.processes import Workspace

Show = Callable[[str, Sequence[Row]], None]


@pytest.mark.full
class TestASquall:
    """A short storm on shared servers, which are therefore not restarted."""

    def test_loses_repeats_reorders_and_parks_nothing(
        self, space: Workspace, postgres_url: str, amqp_url: str, seed: int, show: Show
    ) -> None:
        prefix = f"{secrets.token_hex(4)}."
        broker = Queues(amqp_url, [f"{prefix}{queue}" for queue in QUEUES])
        plan = Plan(seed=seed, messages=3_000, keys=100, writers=2, seconds=5, kill_every=1.5, workers=2, apart=False)
        with scratch_database(postgres_url, prefix="pangaea_squall") as url:
            outcome = campaign.run(
                plan,
                space=space,
                database_url=url,
                broker_url=amqp_url,
                prefix=prefix,
                expect=lambda _supervisor: {"queues purged": broker.purge, "queues deleted": broker.delete_queues},
            )
        show("squall on PostgreSQL and RabbitMQ", outcome.rows)
        assert outcome.audit.messages >= plan.messages
        assert not outcome.audit.violations
