"""Beside live changes a snapshot has no gap, no repetition, and no older image after a newer one."""

import random
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connections, transaction
from django.db.models import F
from django.db.utils import OperationalError

from pangaea import outbox
from pangaea.change_capture import snapshot, triggers
from pangaea.errors import Misuse
from pangaea.outbox.models import OutboxMessage
from pangaea.testing import published, wait_until
from tests.kernel.capturing import SOURCE, Specimen, SpecimenChanged, captured_table, specimens

pytestmark = pytest.mark.django_db(databases=[SOURCE], transaction=True)

ROWS, WRITERS, ROUNDS = 60, 3, 40


@pytest.fixture(autouse=True)
def _table() -> Iterator[None]:
    with captured_table():
        yield


def fill(rows: int) -> None:
    """Rows that no trigger has published."""
    Specimen.objects.bulk_create(Specimen(code=f"{number:03}", count=0) for number in range(rows))
    OutboxMessage.objects.using(SOURCE).all().delete()


def ops() -> list[tuple[str, str]]:
    return [(message.payload["op"], message.key) for message in published(SOURCE)]


def in_thread(pool: ThreadPoolExecutor, work: Any) -> Any:
    def run() -> Any:
        try:
            return work()
        finally:
            connections.close_all()

    return pool.submit(run)


class TestSnapshot:
    def test_publishes_every_row(self) -> None:
        fill(7)
        progress = list(snapshot.snapshot(specimens, chunk=3))
        assert ops() == [("snapshot", f"{number:03}") for number in range(7)]
        assert [(each.rows, each.total, each.finished) for each in progress] == [
            (3, 7, False),
            (6, 7, False),
            (7, 7, True),
        ]
        payload = published(SOURCE)[0].payload
        assert payload["before"] is None
        assert payload["after"]["count"] == 0
        assert len({message.id for message in published(SOURCE)}) == 7

    def test_continues_where_it_was_interrupted(self) -> None:
        fill(7)
        interrupted = snapshot.snapshot(specimens, chunk=3)
        next(interrupted)
        interrupted.close()
        list(snapshot.snapshot(specimens, chunk=3))
        assert ops() == [("snapshot", f"{number:03}") for number in range(7)]

    def test_begins_again_after_it_was_finished(self) -> None:
        fill(2)
        for _ in range(2):
            list(snapshot.snapshot(specimens))
        assert Counter(ops()) == {("snapshot", "000"): 2, ("snapshot", "001"): 2}

    def test_does_not_run_twice_at_once(self) -> None:
        fill(3)
        first = snapshot.snapshot(specimens, chunk=1)
        next(first)
        with pytest.raises(Misuse, match="is running"):
            next(snapshot.snapshot(specimens, chunk=1))
        assert len(list(first)) == 3
        list(snapshot.snapshot(specimens))

    def test_does_not_run_without_the_triggers(self) -> None:
        fill(1)
        triggers.install(SOURCE, triggers.captures_of(SOURCE))
        with pytest.raises(Misuse, match=r"is missing.*manage\.py migrate"):
            next(snapshot.snapshot(specimens))
        assert ops() == []

    def test_of_an_empty_table_publishes_nothing(self) -> None:
        assert [each.finished for each in snapshot.snapshot(specimens)] == [True]
        assert ops() == []

    def test_command_names_the_captures_there_are(self) -> None:
        with pytest.raises(CommandError, match=r"no capture 'orders\.nothing'"):
            call_command("snapshot", "orders.nothing")


class TestUnderWriters:
    def test_every_row_is_published_once_and_no_image_is_older_than_one_before_it(self) -> None:
        """Each change of a row adds one to its count, so the counts in the outbox must never fall."""
        fill(ROWS)
        stop, start = threading.Event(), threading.Barrier(WRITERS + 1, timeout=30)

        def write(seed: int) -> None:
            dice = random.Random(seed)
            start.wait()
            turn = 0
            while turn < ROUNDS or not stop.is_set():
                turn += 1
                # Two writers of several rows may deadlock; the victim then changes nothing.
                with suppress(OperationalError):
                    change(dice, f"new-{seed}-{turn}")

        with ThreadPoolExecutor(WRITERS) as pool:
            writers = [in_thread(pool, lambda seed=seed: write(seed)) for seed in range(WRITERS)]
            try:
                start.wait()
                list(snapshot.snapshot(specimens, chunk=4))
            finally:
                stop.set()
            for writer in writers:
                writer.result(60)

        images: dict[str, list[int | None]] = {}
        snapshots: Counter[str] = Counter()
        for message in published(SOURCE):
            images.setdefault(message.key, []).append((message.payload["after"] or {}).get("count"))
            snapshots[message.key] += message.payload["op"] == "snapshot"
        there = dict(Specimen.objects.values_list("code", "count"))
        assert set(there) <= set(images)
        assert max(snapshots.values()) == 1
        for key, counts in images.items():
            assert counts[-1] == there.get(key), key
            known = [count for count in counts if count is not None]
            assert known == sorted(known), key

    @pytest.mark.usefixtures("postgresql_only")
    def test_it_waits_for_the_writer_of_a_row(self) -> None:
        fill(1)
        changed, may_commit = threading.Event(), threading.Event()

        def write() -> None:
            with transaction.atomic(using=SOURCE):
                Specimen.objects.update(count=1)
                changed.set()
                assert may_commit.wait(10)

        with ThreadPoolExecutor(2) as pool:
            writer = in_thread(pool, write)
            assert changed.wait(10)
            taking = in_thread(pool, lambda: list(snapshot.snapshot(specimens)))
            wait_until(lambda: waiting_for_a_lock() == 1, what="the snapshot to wait for the writer")
            may_commit.set()
            writer.result(10)
            taking.result(10)
        messages = [(message.payload["op"], message.payload["after"]["count"]) for message in published(SOURCE)]
        assert messages == [("update", 1), ("snapshot", 1)]


@pytest.mark.usefixtures("postgresql_only")
class TestTwoWritersOfOneKey:
    def test_are_in_the_order_of_their_commits_whether_captured_or_published(self) -> None:
        """Under the key's lock a writer sees all messages committed before: their number is its turn."""
        fill(1)
        turns: list[tuple[int, int]] = []

        def publish() -> None:
            outbox.publish(SpecimenChanged(op="update", before=None, after=None), key="000")

        def capture() -> None:
            Specimen.objects.update(count=F("count") + 1)

        def write(say: Any) -> None:
            for _ in range(20):
                with transaction.atomic(using=SOURCE):
                    say()
                    rows = OutboxMessage.objects.using(SOURCE).order_by("id")
                    turns.append((len(rows), max(row.pk for row in rows)))

        with ThreadPoolExecutor(4) as pool:
            for writer in [in_thread(pool, lambda say=say: write(say)) for say in (publish, capture) * 2]:
                writer.result(60)
        ids = list(OutboxMessage.objects.using(SOURCE).order_by("id").values_list("id", flat=True))
        assert sorted(turns) == list(enumerate(ids, 1))


def change(dice: random.Random, fresh: str) -> None:
    code = f"{dice.randrange(ROWS):03}"
    match dice.randrange(6):
        case 0:
            Specimen.objects.filter(code=code).delete()
        case 1:
            Specimen.objects.create(code=fresh, count=0)
        case 2:
            Specimen.objects.filter(code__lte=code).update(count=F("count") + 1)
        case 3:
            with transaction.atomic(using=SOURCE):
                Specimen.objects.filter(code=code).update(count=F("count") + 1)
                transaction.set_rollback(True, using=SOURCE)
        case _:
            with transaction.atomic(using=SOURCE):
                Specimen.objects.filter(code=code).update(count=F("count") + 1)
                Specimen.objects.filter(code=code).update(secret=fresh)


def waiting_for_a_lock() -> int:
    with connections[SOURCE].cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database "
            "WHERE datname = current_database() AND locktype = 'advisory' AND NOT granted"
        )
        return int(cursor.fetchone()[0])
