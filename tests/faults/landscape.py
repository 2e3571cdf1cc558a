"""The landscape as real processes on real servers: `source` publishes ticks, and `ledger` records them."""

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, LiteralString

import httpx
import psycopg
from joserfc.jwk import ECKey
from kombu.connection import Connection

from bench import backlog
from pangaea.testing import free_port, wait_until
from pangaea.testing.databases import scratch_database
from tests.acceptance.topologies import monolith_environment
from tests.processes import MANAGE, Process, Workspace, workspace

HEALING_SECONDS = 60.0
PROBE_TIMEOUT = 15.0


@dataclass(frozen=True)
class Landscape:
    """A migrated landscape; a test starts the processes."""

    workspace: Workspace
    environment: Mapping[str, str]
    database_url: str
    _ports: dict[str, int] = field(default_factory=dict)
    """HEALTH_PORT of each process, by its name."""

    def relay(self, name: str = "", **settings: str) -> Process:
        """Start a relay of `source`; `name` ends the name of its process."""
        return self._start(f"relay{name}", "relay", "--module=source", **settings)

    def worker(self, *modules: str, name: str = "", **settings: str) -> Process:
        """Start a worker for these modules' queues, or for every queue; its process is named after both."""
        arguments = [f"--module={module}" for module in modules]
        return self._start("-".join([f"worker{name}", *modules]), "worker", *arguments, **settings)

    def writer(self, *, count: int, rate: int) -> Process:
        """Start a process that publishes `count` ticks, one per transaction, `rate` per second."""
        return self._start("writer", "tick", f"--count={count}", f"--rate={rate}", "--writer=999")

    def publish(self, count: int, *, seed: int) -> None:
        """Commit `count` ticks at once. Ticks are numbered per seed, so a test uses a seed only once."""
        url = psycopg.conninfo.make_conninfo(self.database_url, options="-c search_path=source")
        with psycopg.connect(url, autocommit=True) as connection:
            backlog.commit(connection, count, seed=seed)

    def query(self, statement: LiteralString) -> list[tuple[Any, ...]]:
        """Rows of the database, read as its owner."""
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            return connection.execute(statement).fetchall()

    def number(self, statement: LiteralString) -> int:
        """The single number that a query returns; 0 for NULL."""
        ((value,),) = self.query(statement)
        return int(value or 0)

    def written(self) -> int:
        """How many ticks the ledger has recorded."""
        return self.number("SELECT count(*) FROM ledger.ledger_entry")

    def behind(self) -> int:
        """How many committed ticks the ledger's cursors have not passed."""
        return self.number(
            "SELECT (SELECT coalesce(sum(head), 0) FROM source.pangaea_stream)"
            " + (SELECT count(*) FROM source.pangaea_outbox WHERE position IS NULL)"
            " - (SELECT coalesce(sum(position), 0) FROM ledger.pangaea_cursor)"
        )

    def purge(self, queue: str) -> None:
        """Empty a queue."""
        connection: Any = Connection  # kombu has no types
        with connection(self.environment["BROKER_URL"]) as broker:
            broker.default_channel.queue_purge(self.environment["BROKER_PREFIX"] + queue)

    def wait_written(self, count: int) -> None:
        """Wait until the ledger has `count` entries, and assert that none is repeated or out of its key's order."""
        wait_until(lambda: self.written() >= count, what=f"{count} entries", seconds=HEALING_SECONDS)
        rows = self.query("SELECT key, writer, number FROM ledger.ledger_entry ORDER BY id")
        assert len(rows) == len(set(rows)) == count
        last: dict[tuple[str, int], int] = {}
        for key, writer, number in rows:
            assert number == last.get((key, writer), 0) + 1
            last[key, writer] = number

    def components(self, process: str) -> dict[str, dict[str, str]]:
        """The state of each component of a process, as /livez shows it; empty while the process does not answer."""
        answer = self._probe(process, "/livez")
        states: dict[str, dict[str, str]] = answer.json()["components"] if answer is not None else {}
        return states

    def is_ready(self, process: str) -> bool | None:
        """Whether /readyz of a process answers 200; None while the process does not answer."""
        answer = self._probe(process, "/readyz")
        return None if answer is None else answer.status_code == httpx.codes.OK

    def wait_state(self, process: str, component: str, state: str) -> None:
        """Wait until a component of a process has this state."""

        def shows_it() -> bool:
            states = self.components(process)
            return bool(states) and states[component]["state"] == state

        wait_until(shows_it, what=f"{process} to be {state}", seconds=HEALING_SECONDS)

    def _probe(self, process: str, path: str) -> httpx.Response | None:
        port = self._ports.get(process)
        try:
            return httpx.get(f"http://127.0.0.1:{port}{path}", timeout=PROBE_TIMEOUT, trust_env=False)
        except httpx.TransportError:
            return None

    def _start(self, name: str, *command: str, **settings: str) -> Process:
        port = settings.setdefault("HEALTH_PORT", str(free_port()))
        self._ports[name] = int(port)
        return self.workspace.start(name, (*MANAGE, *command), {**self.environment, **settings})


@contextmanager
def landscape(folder: Path, *, postgres_url: str, broker_url: str, **settings: str) -> Iterator[Landscape]:
    """Hold a landscape of `source` and `ledger`, migrated, nothing started. Announcements are frequent."""
    with (
        scratch_database(postgres_url, prefix="pangaea_faults") as database_url,
        landscape_in(database_url, folder=folder, broker_url=broker_url, **settings) as land,
    ):
        yield land


@contextmanager
def landscape_in(database_url: str, *, folder: Path, broker_url: str, **settings: str) -> Iterator[Landscape]:
    """As `landscape`, in an existing empty database."""
    with workspace(folder) as space:
        key = ECKey.generate_key("P-256")
        environment = {
            **monolith_environment(database_url=database_url, broker_url=broker_url, signing_key=key),
            "PANGAEA_MODULES_PACKAGE": "tests.landscape",
            "PANGAEA_MODULES": "source,ledger",
            "BROKER_PREFIX": f"{secrets.token_hex(4)}.",
            "ANNOUNCE_FIRST": "0.2",
            "ANNOUNCE_AT_MOST": "1",
            "CATCH_UP_RENEWAL": "2",
            "QUEUE_CHECK": "1",
            **settings,
        }
        space.manage("migrate", "--verbosity=0", environment=environment)
        yield Landscape(space, environment, database_url)
