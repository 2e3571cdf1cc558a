"""Concurrent transactions, each on its own thread and connection."""

from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.db import connections, transaction

from pangaea import outbox
from pangaea.testing import wait_until
from tests.kernel.pipeline import SOURCE, Tick

ANSWER_TIMEOUT = 10


@dataclass
class Open:
    """A transaction that has published, or waits for its key to do so."""

    key: str
    number: int
    published: "Future[Any]"
    block: ExitStack


class Writers:
    """Several writers. On an engine with a single writer at a time, none of them holds its transaction open."""

    def __init__(self, count: int = 3) -> None:
        self._threads = [ThreadPoolExecutor(max_workers=1) for _ in range(count)]
        self._open: dict[int, Open] = {}
        self.hold_transactions = connections[SOURCE].vendor == "postgresql"

    def free(self) -> int | None:
        """A writer without a transaction, if there is one."""
        return next((writer for writer in range(len(self._threads)) if writer not in self._open), None)

    def begin(self, writer: int, key: str, number: int) -> bool:
        """Begin and publish; False if the writer has a transaction open. Returns once it has published or waits."""
        if writer in self._open:
            return False
        rivals = [each for each in self._open.values() if each.key == key]
        block = ExitStack()
        published = self._threads[writer].submit(_begin, block, key, number)
        self._open[writer] = Open(key, number, published, block)
        if rivals:
            queue = sum(not rival.published.done() for rival in rivals)
            wait_until(lambda: published.done() or waiting() > queue, what="the writer to publish or to wait")
        else:
            published.result(ANSWER_TIMEOUT)
        return True

    def end(self, writer: int, *, commit: bool) -> Open | None:
        """Commit or roll back; None if the writer cannot yet. On return the next writer of the key has published."""
        mine = self._open.get(writer)
        if mine is None or not mine.published.done():
            return None
        del self._open[writer]
        self._threads[writer].submit(_end, mine.block, commit=commit).result(ANSWER_TIMEOUT)
        queue = [each.published for each in self._open.values() if each.key == mine.key and not each.published.done()]
        holders = [each for each in self._open.values() if each.key == mine.key and each.published.done()]
        if queue and not holders:
            done, _ = wait(queue, timeout=ANSWER_TIMEOUT, return_when=FIRST_COMPLETED)
            assert done, "no writer got the key that was freed"
        return mine

    def settle(self, end: Callable[[int], object]) -> None:
        """End every transaction, those that hold a key before those that wait for it."""
        while self._open:
            for writer in list(self._open):
                end(writer)

    def abandon(self) -> None:
        """Roll back every transaction."""
        self.settle(partial(self.end, commit=False))

    def close(self) -> None:
        """Close the connections and end the threads."""
        self.abandon()
        for thread in self._threads:
            thread.submit(connections.close_all).result(ANSWER_TIMEOUT)
            thread.shutdown()


def _begin(block: ExitStack, key: str, number: int) -> None:
    block.enter_context(transaction.atomic(using=SOURCE))
    outbox.publish(Tick(number=number), key=key)


def _end(block: ExitStack, *, commit: bool) -> None:
    if not commit:
        transaction.set_rollback(True, using=SOURCE)
    block.close()


def waiting() -> int:
    """The number of transactions that wait for a key."""
    with connections[SOURCE].cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database "
            "WHERE datname = current_database() AND locktype = 'advisory' AND NOT granted"
        )
        return int(cursor.fetchone()[0])
