"""SIGTERM under load, for each kind of process: in-flight work is finished, and nothing is lost or doubled."""

import os
import signal
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, LiteralString, Self

import httpx
import msgspec
import pytest
import redis
from joserfc.jwk import ECKey
from kombu.connection import Connection

from pangaea.broker import admission
from pangaea.testing import wait_until
from pangaea.testing.databases import scratch_database
from pangaea.wire import Batch
from tests.acceptance.topologies import ProcessSet, monolith_environment
from tests.faults import proxy
from tests.faults.landscape import HEALING_SECONDS, Landscape, landscape
from tests.processes import Process, workspace

pytestmark = pytest.mark.full

MESSAGES = 6000
"""Committed at once: a process finds work, however slow the machine is, and has more left when it is signalled."""
PASSES = 20
RESTARTS = 5
QUEUE = "ledger.inbox.0of1"
HANGING = "key-7"
CURSORS: LiteralString = "SELECT partition, position FROM ledger.pangaea_cursor ORDER BY partition"


@pytest.fixture(params=["rabbitmq", "redis"])
def broker_url(request: pytest.FixtureRequest) -> str:
    """Each broker in turn."""
    url: str = request.getfixturevalue("amqp_url" if request.param == "rabbitmq" else "redis_url")
    return url


def terminate(process: Process, *, times: int) -> int:
    """Send SIGTERM `times` times without a pause; returns the exit status."""
    for _ in range(times):
        os.kill(process.popen.pid, signal.SIGTERM)
    return process.popen.wait(timeout=HEALING_SECONDS)


def unacknowledged(land: Landscape) -> list[Batch]:
    """The batches in the ledger's queue that its cursors have passed. They stay in the queue."""
    found: list[Batch] = []
    taken = 0

    def take(message: Any) -> None:
        nonlocal taken
        taken += 1
        if message.headers["task"] == admission.DELIVER:
            found.append(msgspec.json.decode(message.body, type=Batch))

    connection: Any = Connection  # kombu has no types
    with connection(land.environment["BROKER_URL"]) as broker:
        channel = broker.default_channel
        name = land.environment["BROKER_PREFIX"] + QUEUE
        waiting = channel.queue_declare(name, passive=True).message_count
        channel.basic_consume(name, no_ack=False, callback=take, consumer_tag="peek")
        with suppress(TimeoutError):
            while taken < waiting:
                broker.drain_events(timeout=1)
    assert found, "the queue is empty, so this shows nothing"
    cursors = dict(land.query("SELECT partition, position FROM ledger.pangaea_cursor"))
    return [each for each in found if each.messages and each.last <= cursors.get(each.partition, 0)]


def taken_from_redis(land: Landscape) -> list[bytes]:
    """Messages from the landscape's queues on Redis that a worker neither acknowledged nor returned."""
    with redis.Redis.from_url(land.environment["BROKER_URL"]) as client:
        return [each for each in client.hvals("unacked") if land.environment["BROKER_PREFIX"].encode() in each]


def has_ended_whole(process: Process) -> bool:
    """Whether the process and all its descendants have ended."""
    try:
        os.killpg(process.popen.pid, 0)
    except ProcessLookupError:
        return True
    return False


def wait_more(land: Landscape, statement: LiteralString, process: Process) -> None:
    """Wait until the number that the statement returns has grown."""
    before = land.number(statement)

    def grew() -> bool:
        process.check()
        return land.number(statement) > before

    wait_until(grew, what=f"{process.name} to be at work", seconds=HEALING_SECONDS)


@pytest.mark.parametrize("times", [1, 3], ids=["one signal", "three signals"])
class TestARelayThatIsTerminated:
    def test_settles_what_it_sent(self, postgres_url: str, broker_url: str, tmp_path: Path, times: int) -> None:
        with landscape(tmp_path, postgres_url=postgres_url, broker_url=broker_url, RELAY_PASS="50") as land:
            land.worker("ledger")
            for nth in range(RESTARTS):
                land.publish(PASSES * 50, seed=nth)
                relay = land.relay()
                wait_more(land, "SELECT sum(sent) FROM source.pangaea_stream", relay)
                assert terminate(relay, times=times) == 0, relay.tail
                # All that has a position was sent and settled, so the next relay sends nothing twice.
                assert land.number("SELECT sum(head - sent) FROM source.pangaea_stream") == 0
            land.relay()
            land.wait_written(RESTARTS * PASSES * 50)
            assert land.behind() == 0


@pytest.mark.parametrize("times", [1, 3], ids=["one signal", "three signals"])
class TestAWorkerThatIsTerminated:
    def test_commits_and_acknowledges_its_in_flight_work(
        self, postgres_url: str, broker_url: str, tmp_path: Path, times: int
    ) -> None:
        with landscape(tmp_path, postgres_url=postgres_url, broker_url=broker_url, RELAY_BATCH="50") as land:
            land.relay()
            # Serves the ledger's catch-up requests: `unacknowledged` leaves the ledger's queue in another order.
            land.worker("source")
            for nth in range(RESTARTS):
                land.publish(MESSAGES, seed=nth)
                worker = land.worker("ledger")
                wait_more(land, "SELECT count(*) FROM ledger.ledger_entry", worker)
                assert terminate(worker, times=times) == 0, worker.tail
                assert "Traceback" not in worker.tail
                if broker_url.startswith("redis"):
                    assert taken_from_redis(land) == []
                if nth == 0:
                    # Later, the queue may also hold what a catch-up request brought a second time.
                    assert unacknowledged(land) == []
            land.worker("ledger")
            land.wait_written(RESTARTS * MESSAGES)
            assert land.number("SELECT count(*) FROM ledger.pangaea_dead_letter") == 0


class TestARelayHeldPastItsGrace:
    def test_ends_anyway_and_the_next_one_sends_again(self, postgres_url: str, broker_url: str, tmp_path: Path) -> None:
        with ExitStack() as stack:
            between, url = stack.enter_context(proxy.before(broker_url, 5672))
            # So that the relay waits for a batch with messages, and not for an announcement.
            rarely = {"ANNOUNCE_FIRST": "60", "ANNOUNCE_AT_MOST": "60"}
            land = stack.enter_context(landscape(tmp_path, postgres_url=postgres_url, broker_url=broker_url, **rarely))
            land.worker("ledger")
            relay = land.relay(BROKER_URL=url, SHUTDOWN_GRACE="3")
            land.publish(100, seed=1)
            land.wait_written(100)

            between.lose(answers_only=True)
            land.publish(300, seed=2)
            wait_until(lambda: between.lost, what="the relay to wait for the broker", seconds=HEALING_SECONDS)
            assert terminate(relay, times=1) == 0, relay.tail
            # Without a signal a relay waits longer for the broker, and then logs that.
            assert "relay interrupted" not in relay.log.read_text()
            assert has_ended_whole(relay)
            assert land.number("SELECT sum(sent) FROM source.pangaea_stream") == 100

            land.relay()
            # The broker may have received them all: the first relay lacked only its answers.
            wait_until(
                lambda: land.number("SELECT sum(head - sent) FROM source.pangaea_stream") == 0,
                what="the next relay to send them again",
                seconds=HEALING_SECONDS,
            )
            land.wait_written(400)


class TestAWorkerHeldPastItsGrace:
    def test_is_cut_off_and_the_next_one_applies_its_batch(
        self, postgres_url: str, broker_url: str, tmp_path: Path
    ) -> None:
        with landscape(tmp_path, postgres_url=postgres_url, broker_url=broker_url) as land:
            land.relay()
            # Serves the ledger's catch-up requests: the broker may have returned the rest in another order, or hide it.
            land.worker("source")
            worker = land.worker("ledger", LANDSCAPE_HANGING_KEY=HANGING, SHUTDOWN_GRACE="3")
            land.publish(MESSAGES, seed=1)
            wait_until(lambda: f"hangs at {HANGING}" in worker.tail, what="the handler", seconds=HEALING_SECONDS)
            passed = land.query(CURSORS)

            assert terminate(worker, times=1) == 0, worker.tail
            wait_until(lambda: has_ended_whole(worker), what="its children to end")
            assert land.query(CURSORS) == passed
            assert land.query("SELECT 1 FROM ledger.ledger_entry WHERE key = 'key-7'") == []

            land.worker("ledger")
            land.wait_written(MESSAGES)
            assert land.number("SELECT count(*) FROM ledger.pangaea_dead_letter") == 0


class Flood:
    """Threads that send requests without a pause until the end of the block, and count the answers and the failures."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.statuses: Counter[int | str] = Counter()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(4)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                # Each request opens a connection: the test asserts that none is refused.
                answer = httpx.get(f"{self.url}/api/v1/products", timeout=30, trust_env=False)
                self.statuses[answer.status_code] += 1
            except httpx.TransportError as error:
                if self._stop.is_set():
                    return
                self.statuses[type(error).__name__] += 1
                if isinstance(error, httpx.ConnectError):
                    return


class TestAWebProcessThatIsTerminated:
    @pytest.fixture
    def web(self, postgres_url: str, amqp_url: str, tmp_path: Path) -> Iterator[tuple[Process, str]]:
        """A web process that is ready; it closes its port three seconds after the signal."""
        with scratch_database(postgres_url, prefix="pangaea_shutdown") as database_url, workspace(tmp_path) as space:
            environment = monolith_environment(
                database_url=database_url, broker_url=amqp_url, signing_key=ECKey.generate_key("P-256")
            )
            processes = ProcessSet("all", space, environment | {"SHUTDOWN_DELAY": "3", "SHUTDOWN_GRACE": "20"})
            processes.prepare(seed=True)
            url = processes.web()
            yield space.processes[-1], url

    @pytest.mark.parametrize("times", [1, 3], ids=["one signal", "three signals"])
    def test_becomes_unready_and_serves_on_until_its_port_closes(self, web: tuple[Process, str], times: int) -> None:
        process, url = web
        with Flood(url) as flood:
            wait_until(lambda: flood.statuses[200] > 20, what="the flood")
            for _ in range(times):
                os.kill(process.popen.pid, signal.SIGTERM)

            def unready() -> bool:
                answer = httpx.get(f"{url}/readyz", timeout=5, trust_env=False)
                return answer.status_code == 503 and answer.json()["checks"] == {"process": "stopping"}

            wait_until(unready, what="/readyz to fail")
            served = flood.statuses[200]
            wait_until(lambda: flood.statuses[200] > served + 20, what="requests to be served anyway")
            assert process.popen.wait(timeout=HEALING_SECONDS) == 0, process.tail
        # Later clients cannot connect; no client was refused or cut off before.
        assert set(flood.statuses) <= {200, "ConnectError"}, flood.statuses

    def test_finishes_what_is_in_flight(self, web: tuple[Process, str]) -> None:
        process, url = web
        host, _, port = url.removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port))) as slow:
            slow.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConn")
            os.kill(process.popen.pid, signal.SIGTERM)
            wait_until(lambda: _refuses(host, int(port)), what="the port to be closed", seconds=HEALING_SECONDS)
            slow.sendall(b"ection: close\r\n\r\n")
            slow.settimeout(HEALING_SECONDS)
            assert slow.recv(100).startswith(b"HTTP/1.1 200")
        assert process.popen.wait(timeout=HEALING_SECONDS) == 0

    def test_waits_no_longer_than_its_grace(self, web: tuple[Process, str]) -> None:
        process, url = web
        host, _, port = url.removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port))) as endless:
            endless.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConn")
            os.kill(process.popen.pid, signal.SIGTERM)
            assert process.popen.wait(timeout=HEALING_SECONDS) == 0


def _refuses(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=1):
            return False
    except OSError:
        return True
