"""A transaction that changes very many keys: it has one lock instead of thousands, and harms no other transaction."""

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest
from django.db import connections, transaction

from pangaea import outbox
from pangaea.databases.engines.postgresql import direct
from pangaea.outbox.models import OutboxMessage
from pangaea.testing import wait_until
from tests.kernel.capturing import SOURCE, captured_table
from tests.kernel.pipeline import Tick, say

pytestmark = [
    pytest.mark.django_db(databases=[SOURCE], transaction=True),
    pytest.mark.usefixtures("postgresql_only", "table"),
]

Session = psycopg.Connection[Any]
MANY = 1_500
UPDATES = """
DO $$ BEGIN
    FOR number IN {} .. {} LOOP
        UPDATE orders_specimen SET count = 1 WHERE code = number::text;
    END LOOP;
END $$
"""


@pytest.fixture
def table() -> Iterator[None]:
    with captured_table():
        insert(3 * MANY)
        yield


@pytest.fixture
def sessions() -> Iterator[list[Session]]:
    opened = [direct.connect(SOURCE, autocommit=False) for _ in range(3)]
    yield opened
    for each in opened:
        each.close()


def insert(count: int) -> None:
    with connections[SOURCE].cursor() as cursor:
        cursor.execute(
            "INSERT INTO orders_specimen (code, state, level, secret) "
            "SELECT number::text, 'P', 1, '' FROM generate_series(1, %s) AS number",
            [count],
        )
    OutboxMessage.objects.using(SOURCE).all().delete()


def update(session: Session, first: int, last: int) -> None:
    """Change the rows from `first` to `last`, with one statement per row."""
    session.execute(UPDATES.format(first, last))


def locks(session: Session) -> int:
    """The number of advisory locks that the session holds."""
    row = session.execute(
        "SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory'"
    ).fetchone()
    assert row
    return int(row[0])


def run(write: Callable[[Session, int], None], sessions: list[Session]) -> None:
    """Let all sessions write at the same time, each from another row on."""
    threads = [threading.Thread(target=write, args=[each, 1 + at * MANY]) for at, each in enumerate(sessions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)


def messages() -> int:
    return OutboxMessage.objects.using(SOURCE).count()


class TestATransactionOfManyStatements:
    def test_holds_no_more_locks_than_one_of_many_rows(self, sessions: list[Session]) -> None:
        writer = sessions[0]
        update(writer, 1, MANY)
        assert locks(writer) < 600
        writer.commit()
        assert messages() == MANY

    def test_that_publishes_by_hand_holds_no_more_locks_either(self, sessions: list[Session]) -> None:
        with transaction.atomic(using=SOURCE):
            for number in range(MANY):
                outbox.publish(Tick(number=number), key=str(number))
            ((held,),) = (
                sessions[0]
                .execute(
                    "SELECT count(*) FROM pg_locks WHERE pid = %s AND locktype = 'advisory'",
                    [connections[SOURCE].connection.info.backend_pid],
                )
                .fetchall()
            )
            assert held < 600
        assert messages() == MANY

    def test_of_one_row_locks_its_key_alone(self, sessions: list[Session]) -> None:
        writer, other = sessions[:2]
        for number in range(1_200):
            writer.execute("UPDATE orders_specimen SET count = %s WHERE code = '1'", [number])
        update(other, 2, 3)
        assert locks(writer) < 5
        other.commit()
        writer.commit()

    def test_releases_its_locks_with_its_savepoint(self, sessions: list[Session]) -> None:
        writer, other = sessions[:2]
        with writer.transaction():
            update(writer, 1, 3)
            with writer.transaction():
                update(writer, 4, MANY)
                raise psycopg.Rollback
            update(other, 4, 400)
            other.commit()
            update(writer, 401, 402)
        assert messages() == 402


class TestTwoSuchTransactions:
    def test_one_fails_alone_and_names_the_remedy(self, sessions: list[Session]) -> None:
        begun = threading.Barrier(2)
        refusals: list[str] = []

        def write(session: Session, first: int) -> None:
            update(session, first, first + 449)
            begun.wait(30)
            try:
                update(session, first + 450, first + MANY - 1)
            except psycopg.errors.LockNotAvailable as refusal:
                refusals.append(str(refusal.diag.message_hint))
                session.rollback()
            session.commit()

        run(write, sessions[:2])
        # Any of them may be the one that waits.
        assert len(refusals) == 1
        assert "pangaea_lock_module()" in refusals[0]
        assert messages() == MANY

    def test_that_lock_the_module_first_take_turns(self, sessions: list[Session]) -> None:
        def write(session: Session, first: int) -> None:
            session.execute("SELECT pangaea_lock_module()")
            update(session, first, first + MANY - 1)
            session.commit()

        run(write, sessions)
        assert messages() == 3 * MANY


class TestAStranger:
    def test_waits_for_such_a_transaction_and_is_in_order(self, sessions: list[Session]) -> None:
        writer = sessions[0]
        update(writer, 1, MANY)

        def publish() -> None:
            say("a", 1)
            connections.close_all()

        stranger = threading.Thread(target=publish)
        stranger.start()
        wait_until(lambda: _others_wait() == 1, what="the stranger to wait")
        writer.commit()
        stranger.join(10)
        assert OutboxMessage.objects.using(SOURCE).order_by("id").last().key == "a"  # type: ignore[union-attr] # it is there

    def test_that_holds_a_key_is_waited_for(self, sessions: list[Session]) -> None:
        writer = sessions[0]
        update(writer, 1, 10)
        with transaction.atomic(using=SOURCE):
            say("a", 1)
            update(writer, 11, 850)
        update(writer, 851, MANY)
        assert locks(writer) < 1_000
        writer.commit()
        assert messages() == MANY + 1


def _others_wait() -> int:
    with closing(direct.connect(SOURCE)) as witness:
        row = witness.execute(
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'advisory' "
            "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        ).fetchone()
        assert row
        return int(row[0])


@pytest.mark.full
class TestAVeryLongTransaction:
    def test_leaves_the_servers_locks_to_others(self, sessions: list[Session]) -> None:
        insert_more = "INSERT INTO orders_specimen (code, state, level, secret) SELECT 'x' || n, 'P', 1, '' "
        writer, stranger = sessions[:2]
        with connections[SOURCE].cursor() as cursor:
            cursor.execute(insert_more + "FROM generate_series(1, 30000) AS n")
        writer.execute(
            "DO $$ BEGIN FOR n IN 1 .. 30000 LOOP "
            "UPDATE orders_specimen SET count = 2 WHERE code = 'x' || n; END LOOP; END $$"
        )
        assert locks(writer) < 600
        stranger.execute("SELECT pg_advisory_xact_lock(number) FROM generate_series(1, 3000) AS number")
        stranger.commit()
        writer.commit()
        assert messages() == 60_000
