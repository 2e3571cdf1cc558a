from collections.abc import Callable, Sequence

import pytest

from pangaea.servers import postgresql
from pangaea.testing.databases import scratch_database
from tests.faults.storm import campaign, troubles
from tests.faults.storm.campaign import Outcome, Plan
from tests.faults.storm.deployment import Supervisor
from tests.faults.storm.figures import Row
from tests.faults.storm.servers import Broker, RabbitNode, Valkey
from tests.faults.storm.troubles import Troubles
from tests.processes import Workspace

pytestmark = [pytest.mark.full, pytest.mark.soak]

MESSAGES = 50_000

Run = Callable[[Broker, int, Troubles], Outcome]
Show = Callable[[str, Sequence[Row]], None]


class TestAStorm:
    """Processes are killed, servers restarted, queues emptied and deleted, while messages are published and applied."""

    def test_on_rabbitmq_loses_repeats_reorders_and_parks_nothing(
        self, run: Run, database: postgresql.Server, rabbit: RabbitNode, show: Show
    ) -> None:
        shocks: Troubles = {
            "RabbitMQ restarted": rabbit.restart,
            "queues purged": rabbit.purge,
            "PostgreSQL restarted": lambda: restart(database),
            "PostgreSQL crashed": database.crash,
            "queues deleted": rabbit.delete_queues,
        }
        outcome = run(rabbit, 2, shocks)
        show("storm on PostgreSQL and RabbitMQ", outcome.rows)
        assert outcome.audit.messages >= MESSAGES
        assert not outcome.audit.violations

    def test_on_redis_loses_repeats_reorders_and_parks_nothing(
        self, run: Run, database: postgresql.Server, redis: Valkey, show: Show
    ) -> None:
        shocks: Troubles = {
            "Redis killed and started empty": redis.restart,
            "queues purged": redis.purge,
            "PostgreSQL restarted": lambda: restart(database),
            "PostgreSQL crashed": database.crash,
            "FLUSHALL": redis.delete_queues,
        }
        outcome = run(redis, 1, shocks)  # on Redis a queue has one worker, without a standby
        show("storm on PostgreSQL and Redis", outcome.rows)
        assert outcome.audit.messages >= MESSAGES
        assert not outcome.audit.violations


@pytest.fixture
def run(space: Workspace, database: postgresql.Server, seed: int) -> Run:
    """Make a run on this database: of a broker, a number of workers per module, and more troubles."""

    def go(broker: Broker, workers: int, shocks: Troubles) -> Outcome:
        def expect(supervisor: Supervisor) -> Troubles:
            *spread, last = shocks.items()
            return dict([*spread, *troubles.of_a_deployment(supervisor, broker, database).items(), last])

        plan = Plan(seed=seed, messages=MESSAGES, keys=1_000, writers=4, seconds=90, kill_every=2, workers=workers)
        with scratch_database(database.url, prefix="pangaea_storm") as url:
            return campaign.run(plan, space=space, database_url=url, broker_url=broker.url, prefix="", expect=expect)

    return go


def restart(server: postgresql.Server) -> None:
    server.stop()
    server.start()
