import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest
from django.db import IntegrityError, OperationalError, connections, transaction
from pytest_django import DjangoDbBlocker

from pangaea.databases import entries
from pangaea.databases.engines.sqlite.fair_lock import FairLock, lock_of
from pangaea.testing import wait_until

ALIAS = "fair"
WAIT_LIMIT = 10.0


@pytest.fixture
def file(tmp_path: Path, django_db_blocker: DjangoDbBlocker) -> Iterator[Path]:
    """A SQLite file with an alias of its own, and a table whose constraint is checked at COMMIT."""
    path = tmp_path / "fair.sqlite3"
    databases = entries.configure({"default": "sqlite:///unused", ALIAS: f"sqlite:///{path}"})
    connections.settings[ALIAS] = connections.configure_settings(databases)[ALIAS]
    with django_db_blocker.unblock():
        with connections[ALIAS].cursor() as cursor:
            cursor.execute("CREATE TABLE parent (id integer PRIMARY KEY)")
            cursor.execute(
                "CREATE TABLE entry (id integer PRIMARY KEY, who text,"
                " parent integer REFERENCES parent DEFERRABLE INITIALLY DEFERRED)"
            )
        yield path
        connections[ALIAS].close()
        del connections[ALIAS]
        del connections.settings[ALIAS]


def write(who: str, parent: int | None = None) -> None:
    with connections[ALIAS].cursor() as cursor:
        cursor.execute("INSERT INTO entry (who, parent) VALUES (%s, %s)", [who, parent])


def writers() -> list[str]:
    """The writers, in the order of writing."""
    with connections[ALIAS].cursor() as cursor:
        cursor.execute("SELECT who FROM entry ORDER BY id")
        return [who for (who,) in cursor.fetchall()]


def in_threads(*jobs: Callable[[], None]) -> None:
    """Run each job in a thread with its own connection; raises the error of the first one that failed."""

    def run(job: Callable[[], None]) -> None:
        try:
            job()
        finally:
            connections[ALIAS].close()

    with ThreadPoolExecutor(max_workers=len(jobs)) as pool:
        for done in [pool.submit(run, job) for job in jobs]:
            done.result(timeout=WAIT_LIMIT)


def is_free(lock: FairLock) -> bool:
    if not lock.acquire(timeout=0):
        return False
    lock.release()
    return True


class TestFairLock:
    def test_is_handed_over_in_the_order_of_requests(self) -> None:
        lock, order = FairLock(), list[int]()
        assert lock.acquire(timeout=0)
        threads = []
        for number in range(5):

            def take(number: int = number) -> None:
                assert lock.acquire(timeout=WAIT_LIMIT)
                order.append(number)
                lock.release()

            threads.append(threading.Thread(target=take))
            threads[-1].start()
            wait_until(lambda: len(lock._waiting) == len(threads), what="the thread to queue")
        lock.release()
        for thread in threads:
            thread.join(WAIT_LIMIT)
        assert order == [0, 1, 2, 3, 4]

    def test_is_not_acquired_by_a_later_thread(self) -> None:
        lock, turns = FairLock(), list[str]()
        lock.acquire(timeout=0)

        def wait() -> None:
            assert lock.acquire(timeout=WAIT_LIMIT)
            turns.append("first")
            lock.release()

        waiting = threading.Thread(target=wait)
        waiting.start()
        wait_until(lambda: lock._waiting, what="the thread to queue")
        lock.release()
        assert lock.acquire(timeout=WAIT_LIMIT)
        turns.append("second")
        waiting.join(WAIT_LIMIT)
        assert turns == ["first", "second"]

    def test_gives_up_after_the_timeout_and_leaves_the_queue(self) -> None:
        lock = FairLock()
        lock.acquire(timeout=0)
        assert not lock.acquire(timeout=0.01)
        lock.release()
        assert is_free(lock)

    def test_admits_one_thread_at_a_time(self) -> None:
        lock, inside, most = FairLock(), list[int](), list[int]()

        def work() -> None:
            for number in range(200):
                assert lock.acquire(timeout=WAIT_LIMIT)
                inside.append(number)
                most.append(len(inside))
                inside.pop()
                lock.release()

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT_LIMIT)
        assert max(most) == 1
        assert len(most) == 800

    def test_is_one_for_each_file(self, tmp_path: Path) -> None:
        assert lock_of(str(tmp_path / "a")) is lock_of(str(tmp_path / "a"))
        assert lock_of(str(tmp_path / "a")) is not lock_of(str(tmp_path / "b"))


class TestATransaction:
    def test_holds_the_files_lock_until_it_has_committed(self, file: Path) -> None:
        lock = lock_of(str(file))
        with transaction.atomic(using=ALIAS):
            write("me")
            assert not is_free(lock)
        assert is_free(lock)
        assert writers() == ["me"]

    def test_releases_the_lock_when_it_is_rolled_back(self, file: Path) -> None:
        with transaction.atomic(using=ALIAS):
            write("me")
            transaction.set_rollback(True, using=ALIAS)
        assert is_free(lock_of(str(file)))
        assert writers() == []

    def test_releases_the_lock_when_its_commit_fails(self, file: Path) -> None:
        with pytest.raises(IntegrityError), transaction.atomic(using=ALIAS):
            write("me", parent=404)
        assert is_free(lock_of(str(file)))
        in_threads(lambda: write_alone("other"))
        assert writers() == ["other"]

    def test_releases_the_lock_when_its_connection_is_closed(self, file: Path) -> None:
        with transaction.atomic(using=ALIAS):
            write("me")
            connections[ALIAS].close()
            assert is_free(lock_of(str(file)))
        assert writers() == []

    def test_releases_the_lock_when_it_cannot_begin(self, file: Path) -> None:
        connections[ALIAS].settings_dict["OPTIONS"] |= {"timeout": 0.05}
        connections[ALIAS].close()
        with connections[ALIAS].cursor() as cursor:
            cursor.execute("PRAGMA busy_timeout = 10")
        # Another process has the file: it is not in the queue of this one.
        with closing(sqlite3.connect(file)) as elsewhere:
            elsewhere.execute("BEGIN IMMEDIATE")
            with pytest.raises(OperationalError, match="locked"), transaction.atomic(using=ALIAS):
                write("me")
            elsewhere.rollback()
        assert is_free(lock_of(str(file)))
        write_alone("me")

    def test_names_the_alias_when_it_times_out(self, file: Path) -> None:
        connections[ALIAS].settings_dict["OPTIONS"] |= {"timeout": 0.05}
        lock = lock_of(str(file))
        lock.acquire(timeout=0)
        try:
            with pytest.raises(OperationalError, match=r"database is locked: another thread has held 'fair'"):
                write_alone("me")
        finally:
            lock.release()
        write_alone("me")

    def test_of_a_third_thread_gets_its_turn_between_two_busy_ones(self, file: Path) -> None:
        done, started = threading.Event(), threading.Barrier(3)

        def busy(who: str) -> None:
            started.wait(WAIT_LIMIT)
            while not done.is_set():
                write_alone(who)

        def third() -> None:
            started.wait(WAIT_LIMIT)
            wait_until(lambda: len(lock_of(str(file))._waiting) > 0, what="the others to be busy")
            try:
                for _ in range(20):
                    write_alone("third")
            finally:
                done.set()

        in_threads(lambda: busy("one"), lambda: busy("two"), third)
        order = writers()
        mine = [place for place, who in enumerate(order) if who == "third"]
        # Each of the others can be ahead once; a turn of slack, as a thread must also come round to asking.
        assert all(later - earlier <= 8 for earlier, later in pairwise(mine)), order


def write_alone(who: str) -> None:
    """Write in a separate transaction."""
    with transaction.atomic(using=ALIAS):
        write(who)


class TestAnotherProcess:
    """SQLite's locks are the process's: closing any handle of the file drops them all."""

    def test_that_opens_the_file_and_ends_takes_nothing_from_this_one(self, file: Path) -> None:
        write("here")
        in_threads(lambda: write("a thread"))
        self.run(file, "INSERT INTO entry (who) VALUES ('another process')")
        write("here again")
        in_threads(lambda: write("a thread again"))
        everyone = ["here", "a thread", "another process", "here again", "a thread again"]
        assert self.run(file, "SELECT who FROM entry ORDER BY id").splitlines() == everyone

    def run(self, file: Path, statement: str) -> str:
        script = (
            "import sqlite3, sys; connection = sqlite3.connect(sys.argv[1]);"
            "print(*(row[0] for row in connection.execute(sys.argv[2])), sep='\\n');"
            "connection.commit(); connection.close()"
        )
        arguments = [sys.executable, "-c", script, str(file), statement]
        return subprocess.run(arguments, check=True, capture_output=True, text=True).stdout
