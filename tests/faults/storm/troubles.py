"""Troubles of several servers at once, or of the supervisor."""

import threading
from collections.abc import Callable
from typing import LiteralString

import psycopg

from pangaea.servers import postgresql
from pangaea.testing import wait_until
from tests.faults.storm.deployment import Supervisor
from tests.faults.storm.servers import Broker

Troubles = dict[str, Callable[[], int | None]]
"""Troubles by name. One that returns a number deleted that many broker messages."""

SILENT_SECONDS = 12.0
"""Longer than a statement waits for a lock."""
BLOCKED_SECONDS = 30.0
"""For a worker to reach a locked cursor; it may just have been killed."""
LOCK: LiteralString = "SELECT 1 FROM ledger.pangaea_cursor FOR UPDATE"
WAITING: LiteralString = "SELECT 1 FROM pg_stat_activity WHERE %s = ANY(pg_blocking_pids(pid))"

CHANGED = {"QUEUES_PER_MODULE": "2", "QUEUE_LENGTH": "5000"}


def of_a_deployment(supervisor: Supervisor, broker: Broker, database: postgresql.Server | None = None) -> Troubles:
    """The troubles of a deployment besides those of its servers one by one."""
    url = supervisor.settings["DATABASE_URL"]
    former = dict(supervisor.settings)
    troubles: Troubles = {
        "acknowledgements failed": lambda: lose_acknowledgements(url, broker),
        "settings changed, one process after the other": lambda: supervisor.change({**former, **CHANGED}),
        "settings changed back": lambda: supervisor.change(former),
    }
    if database is not None:
        troubles["PostgreSQL silent"] = lambda: silence(database)
    return troubles


def lose_acknowledgements(database_url: str, broker: Broker) -> None:
    """Cut the broker's connections while workers hold batches, so that their acknowledgements fail.

    The cursors are locked until a worker waits for one with its batch, and until the connections are cut.
    """
    with psycopg.connect(database_url) as connection:
        connection.execute(LOCK)
        with psycopg.connect(database_url, autocommit=True) as witness:
            wait_until(
                lambda: witness.execute(WAITING, [connection.info.backend_pid]).fetchone(),
                what="a worker to wait for a cursor",
                seconds=BLOCKED_SECONDS,
            )
        broker.cut_connections()


def silence(database: postgresql.Server) -> None:
    """Let the server accept connections without answering, for a while."""
    database.pause()
    try:
        threading.Event().wait(SILENT_SECONDS)
    finally:
        database.resume()
