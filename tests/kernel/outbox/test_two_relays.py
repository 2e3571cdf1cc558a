"""Two relays of one module, and two consumers of one stream, in concurrent threads."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import TypeVar
from uuid import uuid4

import psycopg
import pytest
from django.db import OperationalError, connections, transaction
from pytest_django import Settings

from pangaea import outbox
from pangaea.databases import engines
from pangaea.databases.engines.base import RelaySession
from pangaea.inbox import consume
from pangaea.inbox.batches import decode
from pangaea.inbox.delivery import Delivery
from pangaea.inbox.models import Cursor, DeadLetter
from pangaea.messages import ALL
from pangaea.outbox import replay
from pangaea.outbox.batches import Outgoing
from pangaea.outbox.models import OutboxMessage, Stream
from pangaea.outbox.relay import Relay, partition_of
from pangaea.outbox.standby import Standby
from pangaea.testing import wait_until
from pangaea.wire import CatchUp
from tests.kernel.parked import redrive
from tests.kernel.pipeline import LISTENER, SOURCE, Ledger, Tick, Wire, say
from tests.kernel.relays import relay_of

pytestmark = [
    pytest.mark.django_db(databases=[SOURCE, LISTENER], transaction=True),
    pytest.mark.usefixtures("postgresql_only"),
]

T = TypeVar("T")
WRITERS, EACH, KEYS = 3, 40, 5


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(max_workers=6) as pool:
        yield pool


def in_thread(threads: ThreadPoolExecutor, work: Callable[[], T]) -> "Future[T]":
    def run() -> T:
        try:
            return work()
        finally:
            connections.close_all()

    return threads.submit(run)


class Broker:
    """The batches of all relays, in the order of arrival."""

    def __init__(self) -> None:
        self.batches: list[Outgoing] = []
        self.senders: set[str] = set()
        self._guard = threading.Lock()

    def sender(self, name: str) -> Callable[[Sequence[Outgoing]], None]:
        def send(batches: Sequence[Outgoing]) -> None:
            with self._guard:
                self.batches += batches
                self.senders.add(name)

        return send


class TestTwoRelaysAtWork:
    def test_give_dense_positions_in_commit_order_per_key(self, threads: ThreadPoolExecutor, wire: Wire) -> None:
        broker, done = Broker(), threading.Event()
        turns: dict[tuple[str, int], int] = {}

        def write(writer: int) -> None:
            for count in range(EACH):
                key, number = f"key-{count % KEYS}", writer * EACH + count
                with transaction.atomic(using=SOURCE):
                    message = outbox.publish(Tick(number=number), key=key)
                    # The holder of the key's lock sees all messages committed before: their number is this one's turn.
                    turns[key, OutboxMessage.objects.using(SOURCE).filter(key=key).count()] = message.int

        def relay(name: str) -> None:
            # Both work: `step` does not ask which of them leads.
            leader = Relay(SOURCE, broker.sender(name))
            while not done.is_set():
                leader.step()

        relaying = [in_thread(threads, lambda name=name: relay(name)) for name in ("first", "second")]  # type: ignore[misc]
        try:
            for writing in [in_thread(threads, lambda each=each: write(each)) for each in range(WRITERS)]:  # type: ignore[misc]
                writing.result(60)
        finally:
            done.set()
            for each in relaying:
                each.result(60)
        last = Relay(SOURCE, broker.sender("last"))
        while last.step():
            pass

        assert broker.senders >= {"first", "second"}
        for stream in Stream.objects.using(SOURCE).all():
            rows = list(OutboxMessage.objects.using(SOURCE).filter(partition=stream.partition).order_by("position"))
            assert [row.position for row in rows] == list(range(1, stream.head + 1))
            assert (stream.sent, stream.sent_id) == (stream.head, rows[-1].message_id if rows else None)
        for key in {key for key, _ in turns}:
            placed = OutboxMessage.objects.using(SOURCE).filter(key=key).order_by("position")
            assert [row.message_id.int for row in placed] == [turns[key, turn + 1] for turn in range(len(placed))]

        wire.batches += broker.batches
        wire.pump()
        assert sorted(wire.ledger.numbers()) == list(range(WRITERS * EACH))


class TestTwoThatLockStreams:
    """Every transaction locks streams in the order of their ids, so that no two deadlock."""

    @pytest.mark.parametrize("reverse", [False, True])
    def test_settle_holds_none_behind_the_one_that_it_waits_for(
        self, threads: ThreadPoolExecutor, *, reverse: bool
    ) -> None:
        Stream.provide(SOURCE, ["all"])
        Stream.objects.using(SOURCE).update(head=1)
        ids = sorted(Stream.objects.using(SOURCE).values_list("id", flat=True), reverse=reverse)
        # An updated row moves within the table: the row with the lowest id is read last.
        Stream.objects.using(SOURCE).filter(pk=min(ids)).update(head=2)
        sent = [(each, 1, uuid4()) for each in ids]
        engine = engines.of(SOURCE)
        with transaction.atomic(using=SOURCE):
            streams = Stream.objects.using(SOURCE).select_for_update(nowait=True)
            streams.get(id=min(ids))
            settling = in_thread(threads, lambda: engine.settle(connections[SOURCE], sent))
            wait_until(lambda: waits_for_a_lock() or settling.done(), what="the other relay to wait")
            for each in ids:
                streams.get(id=each)
        settling.result(60)


def waits_for_a_lock() -> bool:
    with connections[SOURCE].cursor() as statement:
        statement.execute("SELECT EXISTS (SELECT 1 FROM pg_locks WHERE NOT granted)")
        return bool(statement.fetchone()[0])


class TestStandby:
    def test_takes_over_when_the_leaders_connection_dies(self, threads: ThreadPoolExecutor, postgres_url: str) -> None:
        broker, stop = Broker(), threading.Event()
        one, other = (engines.of(SOURCE).relay_session(SOURCE) for _ in range(2))
        try:
            assert one.election.lead()
            assert not other.election.lead()
            assert leaders_end(postgres_url) == 1
            wait_until(other.election.lead, what="the standby to lead")
            with suppress(OperationalError):
                one.wakeup.wait(10)
            assert not one.election.lead()
        finally:
            one.close()
            other.close()

        relays = [in_thread(threads, lambda: relay_of(SOURCE, broker.sender("any")).run(stop)) for _ in range(2)]
        try:
            for number in range(3):
                say("a", number)
                wait_until(lambda: sent() == number + 1, what="a relay to send")  # noqa: B023 - waited for at once
                assert leaders_end(postgres_url) == 1
        finally:
            stop.set()
            for each in relays:
                each.result(30)
        assert leaders_end(postgres_url) == 0


class TestAStandbyOfALeaderThatDoesNothing:
    @pytest.fixture(autouse=True)
    def _impatient(self, settings: Settings) -> None:
        settings.PANGAEA = replace(
            settings.PANGAEA, relay_poll=timedelta(seconds=0.05), relay_takeover=timedelta(seconds=0.5)
        )

    @pytest.fixture
    def leader(self) -> Iterator[RelaySession]:
        session = engines.of(SOURCE).relay_session(SOURCE)
        assert session.election.lead()
        yield session
        session.close()

    @pytest.fixture
    def standby(self, threads: ThreadPoolExecutor, leader: RelaySession) -> Iterator[Broker]:
        broker, stop = Broker(), threading.Event()
        running = in_thread(threads, lambda: relay_of(SOURCE, broker.sender("standby")).run(stop))
        yield broker
        stop.set()
        running.result(30)

    def test_sends_waiting_messages(self, standby: Broker) -> None:
        for number in (1, 2, 3):
            say("a", number)
            wait_until(lambda: sent() == number, what="the standby to send")  # noqa: B023 - waited for at once

    def test_publishes_the_snapshot_that_a_subscriber_requested(self, standby: Broker) -> None:
        say("a", 1)
        wait_until(lambda: sent() == 1, what="the standby to send")
        streams = Stream.objects.using(SOURCE).filter(audience=ALL)
        streams.filter(partition=partition_of("a")).update(snapshot_wanted=0)
        wait_until(lambda: streams.filter(snapshot_from__isnull=False).exists(), what="the snapshot")

    def test_answers_requests(self, wire: Wire, standby: Broker) -> None:
        say("a", 1)
        wait_until(lambda: sent() == 1, what="the standby to send")
        replay.ask(
            SOURCE,
            CatchUp(
                subscription=f"{LISTENER}.ledger",
                source=SOURCE,
                audience=ALL,
                partition=partition_of("a"),
                position=0,
                message_id=None,
            ),
        )
        wait_until(
            lambda: any(batch.routing_key.startswith(f"{SOURCE}.{LISTENER}.") for batch in standby.batches),
            what="an answer",
        )

    def test_leaves_the_work_to_one_that_sends(self, settings: Settings) -> None:
        settings.PANGAEA = replace(settings.PANGAEA, relay_takeover=timedelta(0))
        leading, standby = Relay(SOURCE, Broker().sender("leader")), Standby(SOURCE)
        say("a", 1)
        assert not standby.must_work()  # the first look
        leading.step()
        say("a", 2)
        assert not standby.must_work()  # something was sent since
        assert standby.must_work()
        standby.worked()
        assert standby.must_work()
        leading.step()
        say("a", 3)
        assert not standby.must_work()
        assert not standby.has_taken_over

    @pytest.mark.parametrize("missed", ["waiting messages", "sent messages"])
    def test_fails_where_the_standby_does_not_see(
        self, missed: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        look = Standby._look
        blind = {
            "waiting messages": lambda self: (False, look(self)[1]),
            "sent messages": lambda self: (look(self)[0], ()),
        }
        monkeypatch.setattr(Standby, "_look", blind[missed])
        with pytest.raises(AssertionError):
            self.test_leaves_the_work_to_one_that_sends(settings)


def sent() -> int:
    return sum(Stream.objects.using(SOURCE).values_list("sent", flat=True))


def leaders_end(postgres_url: str) -> int:
    """Terminate the leader's session; the number of sessions that held an advisory lock."""
    with connections[SOURCE].cursor() as statement:
        statement.execute("SELECT current_database()")
        (database,) = statement.fetchone()
    with psycopg.connect(postgres_url, autocommit=True) as administrator:
        return len(
            administrator.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks JOIN pg_database ON pg_database.oid = database "
                "WHERE datname = %s AND locktype = 'advisory' AND granted",
                [database],
            ).fetchall()
        )


class TestTwoConsumersAndARedrive:
    def test_apply_each_message_once_and_in_order(
        self, threads: ThreadPoolExecutor, wire: Wire, ledger: Ledger
    ) -> None:
        ledger.poison = {0}
        say("a", 0, 1)
        wire.pump()
        assert DeadLetter.objects.using(LISTENER).count() == 2
        ledger.poison = set()
        for number in range(2, 30):
            say("a", number)
            wire.relay.step()
        batches = [decode(outgoing.body) for outgoing in wire.batches]

        def listen() -> None:
            for batch, messages in batches:
                consume.apply(Delivery(ledger.subscription, batch, messages))

        def redrive_key() -> int:
            return redrive(ledger.subscription, "a")

        for each in [in_thread(threads, work) for work in (listen, redrive_key, listen, redrive_key)]:
            each.result(60)
        redrive(ledger.subscription, "a")
        wire.batches.clear()
        wire.pump()
        assert ledger.numbers() == list(range(30))
        assert not DeadLetter.objects.using(LISTENER).exists()
        assert Cursor.objects.using(LISTENER).get(position=30).head == 30
