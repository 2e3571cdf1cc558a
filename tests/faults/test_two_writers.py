import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TypeVar
from uuid import UUID, uuid4

import pytest
from django.db import connections, transaction

from modules.orders.messages import OrderCancelled
from pangaea import outbox
from pangaea.outbox.models import OutboxMessage
from pangaea.outbox.relay import Relay, partition_of
from pangaea.testing import wait_until

pytestmark = [
    pytest.mark.django_db(databases=["orders"], transaction=True),
    pytest.mark.usefixtures("postgresql_only"),
]

T = TypeVar("T")

WRITERS, EACH = 6, 15


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    """Threads whose database connections end with the test."""
    with ThreadPoolExecutor(max_workers=WRITERS) as pool:
        yield pool


class TestTwoWritersOfOneKey:
    def test_are_sequenced_in_the_order_of_their_commits(self, threads: ThreadPoolExecutor) -> None:
        key, published, may_commit = uuid4(), threading.Event(), threading.Event()

        def first() -> UUID:
            with transaction.atomic(using="orders"):
                message = publish(key)
                published.set()
                assert may_commit.wait(10)
            return message

        writer_a = in_thread(threads, first)
        assert published.wait(10)
        writer_b = in_thread(threads, lambda: publish_and_commit(key))
        wait_until(lambda: waiting_for_a_lock() == 1, what="the second writer to wait for the first")
        other = in_thread(threads, lambda: publish_and_commit(uuid4())).result(10)
        sequence()
        assert set(placed()) == {other}

        may_commit.set()
        first_id, second_id = writer_a.result(10), writer_b.result(10)
        sequence()
        places = placed()
        assert places[first_id][0] == places[second_id][0] == partition_of(str(key))
        assert places[first_id][1] < places[second_id][1]

    def test_keep_that_order_among_many(self, threads: ThreadPoolExecutor) -> None:
        key, done = uuid4(), threading.Event()
        turns: dict[UUID, int] = {}

        def write() -> None:
            for _ in range(EACH):
                with transaction.atomic(using="orders"):
                    message = publish(key)
                    # Writers of a key take turns and see each other's commits, so this number is the turn.
                    turns[message] = OutboxMessage.objects.using("orders").filter(key=str(key)).count()

        def relay() -> None:
            while not done.is_set():
                sequence()

        relaying = in_thread(threads, relay)
        try:
            for writer in [in_thread(threads, write) for _ in range(WRITERS - 1)]:
                writer.result(60)
        finally:
            done.set()
            relaying.result(10)
        sequence()
        positions = {message: position for message, (_, position) in placed().items()}
        assert positions == turns
        assert sorted(turns.values()) == list(range(1, (WRITERS - 1) * EACH + 1))


def in_thread(threads: ThreadPoolExecutor, work: Callable[[], T]) -> "Future[T]":
    def run() -> T:
        try:
            return work()
        finally:
            connections.close_all()

    return threads.submit(run)


def publish(key: UUID) -> UUID:
    event = OrderCancelled(order_id=key, customer_id=key, cancelled_at=datetime.now(UTC))
    return outbox.publish(event, key=str(key))


def publish_and_commit(key: UUID) -> UUID:
    with transaction.atomic(using="orders"):
        return publish(key)


def sequence() -> None:
    """Let the relay sequence until no message is without a position."""
    relay = Relay("orders", lambda _batches: None)
    while relay.sequence():
        pass


def placed() -> dict[UUID, tuple[int, int]]:
    """Partition and position of every message that has one, by id."""
    return {
        row.message_id: (row.partition, row.position)
        for row in OutboxMessage.objects.using("orders")
        if row.partition is not None and row.position is not None
    }


def waiting_for_a_lock() -> int:
    with connections["orders"].cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database "
            "WHERE datname = current_database() AND locktype = 'advisory' AND NOT granted"
        )
        return int(cursor.fetchone()[0])
