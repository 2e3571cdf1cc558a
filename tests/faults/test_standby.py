import os
import signal
import time
from pathlib import Path

import pytest

from pangaea.testing import wait_until
from tests.faults import proxy
from tests.faults.landscape import HEALING_SECONDS, landscape

SENT = "SELECT sum(sent) FROM source.pangaea_stream"

pytestmark = pytest.mark.full


class TestAStandby:
    @pytest.mark.parametrize("notified", [True, False], ids=["with a new message", "without one"])
    def test_takes_over_from_a_killed_leader(
        self, postgres_url: str, amqp_url: str, tmp_path: Path, notified: bool
    ) -> None:
        with landscape(tmp_path, postgres_url=postgres_url, broker_url=amqp_url) as land:
            leader = land.relay("-leader")
            land.wait_state("relay-leader", "source", "leading")
            standby = land.relay("-standby")
            land.wait_state("relay-standby", "source", "standing by")
            land.publish(10, seed=1)
            wait_until(lambda: land.number(SENT) == 10, what="the leader to have sent")

            if not notified:
                # The leader was notified of these and did not send them; no other notification follows.
                os.kill(leader.popen.pid, signal.SIGSTOP)
                land.publish(10, seed=2)
            killed = time.monotonic()
            leader.kill()
            if notified:
                land.publish(10, seed=2)
            wait_until(lambda: land.number(SENT) == 20, what="the standby to have sent")
            print(f"sent {time.monotonic() - killed:.2f} s after the kill")  # noqa: T201 - a figure for the reader
            land.wait_state("relay-standby", "source", "leading")
            assert standby.running
            assert land.number("SELECT sum(head - sent) FROM source.pangaea_stream") == 0

    def test_works_while_the_leader_is_frozen(self, postgres_url: str, amqp_url: str, tmp_path: Path) -> None:
        with landscape(tmp_path, postgres_url=postgres_url, broker_url=amqp_url, RELAY_TAKEOVER="1") as land:
            leader = land.relay("-leader")
            land.wait_state("relay-leader", "source", "leading")
            standby = land.relay("-standby")
            land.wait_state("relay-standby", "source", "standing by")
            land.worker("ledger")
            land.publish(10, seed=1)
            land.wait_written(10)

            os.kill(leader.popen.pid, signal.SIGSTOP)
            try:
                for seed in (2, 3):
                    land.publish(10, seed=seed)
                    land.wait_written(10 * seed)
            finally:
                os.kill(leader.popen.pid, signal.SIGCONT)
            land.publish(10, seed=4)
            land.wait_written(40)
            assert leader.running
            assert "standby took over" in standby.tail

    def test_works_while_the_leader_is_cut_off_from_its_database(
        self, postgres_url: str, amqp_url: str, tmp_path: Path
    ) -> None:
        with (
            landscape(tmp_path, postgres_url=postgres_url, broker_url=amqp_url, RELAY_TAKEOVER="1") as land,
            proxy.before(land.database_url, 5432) as (between, url),
        ):
            leader = land.relay("-leader", DATABASE_URL=url)
            land.wait_state("relay-leader", "source", "leading")
            land.relay("-standby")
            land.wait_state("relay-standby", "source", "standing by")
            assert between.lose()
            land.publish(10, seed=1)
            wait_until(lambda: land.number(SENT) == 10, what="the standby to send", seconds=HEALING_SECONDS)
            land.wait_state("relay-leader", "source", "interrupted")
            leader.kill()
