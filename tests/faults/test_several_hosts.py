"""A deployment whose URLs name several hosts, settings of the server, and a database whose name needs quotes."""

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from pangaea.addresses import broker
from pangaea.testing import free_port, wait_until
from pangaea.testing.databases import scratch_database
from tests.faults.landscape import landscape_in

OPTIONS = "target_session_attrs=read-write&options=-c%20idle_in_transaction_session_timeout%3D60s%20-c%20work_mem%3D3MB"

pytestmark = pytest.mark.full


class TestSeveralHosts:
    @pytest.mark.parametrize("bus", ["amqp_url", "redis_url"])
    def test_carry_messages_while_the_first_does_not_answer(
        self, bus: str, request: pytest.FixtureRequest, postgres_url: str, tmp_path: Path
    ) -> None:
        broker_url: str = request.getfixturevalue(bus)
        (server,) = broker.parse(broker_url).servers
        cluster = f"{broker_url.replace(f':{server.port}', f':{free_port()}')};{broker_url}"
        with scratch_database(postgres_url, prefix='My "o\'shop" é 50%') as url:
            address = urlsplit(url)
            login, _, host = address.netloc.rpartition("@")
            by_hosts = f"postgres://{login}@127.0.0.1:{free_port()},{host}{address.path}?{OPTIONS}"
            with landscape_in(by_hosts, folder=tmp_path, broker_url=cluster) as land:
                checked = land.workspace.manage("config", "check", environment=dict(land.environment))
                assert "can start" in checked
                land.relay()
                land.worker("ledger")
                land.publish(20, seed=1)
                land.wait_written(20)
                wait_until(lambda: land.is_ready("relay"), what="the relay to be ready")
                wait_until(lambda: land.is_ready("worker-ledger"), what="the worker to be ready")
                assert land.components("relay")["source"]["state"] == "leading"
