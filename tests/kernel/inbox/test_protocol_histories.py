"""Single schedules of positions, histories and requests that a random search seldom reaches."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import psycopg
import pytest
from django.db import OperationalError, connections, transaction
from django.utils import timezone
from pytest_django import Settings

from pangaea.databases import engines, idle
from pangaea.inbox.batches import decode
from pangaea.inbox.delivery import Delivery
from pangaea.inbox.models import Cursor
from pangaea.outbox import replay
from pangaea.outbox.models import CatchUpRequest, OutboxMessage, Stream
from pangaea.outbox.relay import partition_of
from pangaea.wire import CatchUp
from tests.kernel.pipeline import LISTENER, SOURCE, Ledger, Wire, say

pytestmark = pytest.mark.django_db(databases=[SOURCE, LISTENER], transaction=True)

A = "a"
BESIDE_A = next(key for key in map(str, range(99)) if partition_of(key) == partition_of(A))


def outbox_of(key: str) -> Any:
    return OutboxMessage.objects.using(SOURCE).filter(key=key).order_by("id")


def cursor() -> Cursor:
    return Cursor.objects.using(LISTENER).get(partition=partition_of(A))


def asking(*, from_position: int, question: int | None = None) -> CatchUp:
    """The ledger's request for the stream of A."""
    return CatchUp(
        subscription="web_bff.ledger",
        source=SOURCE,
        audience="all",
        partition=partition_of(A),
        position=from_position,
        message_id=None,
        question=question,
    )


def intercept(alias: str, when: str, *, before: Callable[[], Any] = tuple, after: Callable[[], Any] = tuple) -> Any:
    """Call `before` and `after` around the first statement that contains `when`."""
    left = [True]

    def wrapper(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        hit = left[0] and when in sql
        if hit:
            left[0] = False
            before()
        result = execute(sql, params, many, context)
        if hit:
            after()
        return result

    context: AbstractContextManager[None] = connections[alias].execute_wrapper(wrapper)
    return context


class TestKey:
    @pytest.mark.usefixtures("postgresql_only")
    def test_of_any_name_has_a_lock_of_its_own(self) -> None:
        session = engines.of(SOURCE).relay_session(SOURCE)
        try:
            assert session.election.lead()
            with transaction.atomic(using=SOURCE):
                with connections[SOURCE].cursor() as statement:
                    statement.execute("SET LOCAL lock_timeout = '1s'")
                say("relay", 1)
        finally:
            session.close()


class TestApplyingOneByOne:
    def test_checks_the_chain_as_well(self, wire: Wire, ledger: Ledger, settings: Settings) -> None:
        settings.PANGAEA = replace(settings.PANGAEA, relay_batch=1)
        say(A, 1)
        wire.pump()
        restore_to_nothing()
        say(A, 2, 3)
        while wire.relay.step():
            pass
        (foreign,) = [each for each in wire.batches if each.last == 2]

        def time_out() -> None:
            raise OperationalError("canceling statement due to lock timeout")

        with intercept(LISTENER, '"pangaea_cursor"', before=time_out):
            wire.deliver(foreign)
        assert ledger.numbers() == [1]
        wire.deliver(foreign)
        assert cursor().state == Cursor.State.ACTIVE
        wire.pump()
        assert cursor().state == Cursor.State.DIVERGED
        assert ledger.numbers() == [1]


def restore_to_nothing() -> None:
    """The producer's database is restored to before its first message."""
    OutboxMessage.objects.using(SOURCE).all().delete()
    Stream.objects.using(SOURCE).update(head=0, sent=0, sent_id=None)


def restore_to(position: int) -> None:
    """The producer's database is restored to when the stream of A had that many messages."""
    outbox_of(A).filter(position__gt=position).delete()
    last = outbox_of(A).get(position=position)
    Stream.objects.using(SOURCE).filter(partition=partition_of(A)).update(
        head=position, sent=position, sent_id=last.message_id
    )


def lose(wire: Wire, number: int) -> None:
    """Publish a tick that the broker loses."""
    say(A, number)
    wire.relay.step()
    wire.batches.clear()


class TestDivergence:
    def test_of_a_producer_that_is_empty_and_silent_is_noticed(
        self, wire: Wire, ledger: Ledger, settings: Settings
    ) -> None:
        say(A, 1, 2)
        wire.pump()
        restore_to_nothing()
        settings.PANGAEA = replace(settings.PANGAEA, announce_first=timedelta(microseconds=1))
        restarted = Wire(ledger)
        restarted.relay.step()
        restarted.relay.step()
        restarted.pump()
        assert cursor().state == Cursor.State.DIVERGED

    @pytest.mark.usefixtures("postgresql_only")
    def test_is_not_claimed_by_a_leader_that_was_overtaken(self, wire: Wire, ledger: Ledger) -> None:
        say(A, 1)
        wire.pump()
        slow = Wire(ledger)

        def overtake() -> None:
            say(A, 2)
            wire.pump()
            replay.ask(SOURCE, asking(from_position=2))

        with intercept(SOURCE, 'FROM "pangaea_stream"', after=overtake):
            slow.relay.send()
        slow.pump()
        assert cursor().state == Cursor.State.ACTIVE

    def test_is_not_claimed_by_a_late_batch_of_a_former_history(self, wire: Wire, ledger: Ledger) -> None:
        say(A, 1)
        wire.relay.step()
        (late,) = wire.batches
        wire.batches.clear()
        restore_to_nothing()
        say(A, 2)
        wire.pump()
        wire.deliver(late)
        assert cursor().state == Cursor.State.ACTIVE
        say(A, 3)
        wire.pump()
        assert ledger.numbers() == [2, 3]
        assert (cursor().state, cursor().requested_at, cursor().question) == (Cursor.State.ACTIVE, None, None)

    def test_is_not_claimed_by_an_answer_to_an_earlier_question(
        self, wire: Wire, ledger: Ledger, settings: Settings
    ) -> None:
        settings.PANGAEA = replace(settings.PANGAEA, catch_up_renewal=timedelta(hours=1))
        say(A, 1)
        wire.pump()
        restore_to_nothing()
        replay.ask(SOURCE, asking(from_position=1, question=17))
        wire.relay.step()
        (late,) = wire.batches
        wire.batches.clear()
        with transaction.atomic(using=LISTENER):
            Cursor.objects.using(LISTENER).all().delete()
        say(A, 2)
        wire.pump()
        lose(wire, 3)
        say(A, 4)
        wire.relay.step()
        wire.deliver_all()
        (outstanding,) = wire.requests
        wire.deliver(late)
        assert cursor().state == Cursor.State.ACTIVE
        assert cursor().question == outstanding.question != 17
        wire.pump()
        assert ledger.numbers() == [1, 2, 3, 4]

    def test_needs_the_number_although_the_question_is_asked_again(
        self, wire: Wire, ledger: Ledger, settings: Settings
    ) -> None:
        settings.PANGAEA = replace(settings.PANGAEA, catch_up_renewal=timedelta(microseconds=1))
        say(A, 1)
        wire.pump()
        restore_to_nothing()
        say(A, 2, 3)
        wire.relay.step()
        (foreign,) = wire.batches
        wire.deliver_all()
        wire.deliver(foreign)
        first, second = wire.requests
        assert first == second
        wire.requests = [first]
        wire.pump()
        assert cursor().state == Cursor.State.DIVERGED

    def test_needs_an_outstanding_question_besides_its_number(self, wire: Wire, ledger: Ledger) -> None:
        say(A, 1)
        wire.pump()
        restore_to_nothing()
        Cursor.objects.using(LISTENER).update(question=17)
        replay.ask(SOURCE, asking(from_position=1, question=17))
        wire.relay.step()
        wire.deliver_all()
        assert cursor().state == Cursor.State.ACTIVE
        wire.pump()
        assert cursor().state == Cursor.State.DIVERGED

    def test_of_a_producer_that_numbers_no_answers_is_not_decided(self, wire: Wire, ledger: Ledger) -> None:
        say(A, 1)
        wire.pump()
        restore_to_nothing()
        replay.ask(SOURCE, asking(from_position=1))
        wire.relay.step()
        wire.deliver_all()
        (request,) = wire.requests
        assert cursor().state == Cursor.State.ACTIVE
        assert request.question is not None


class TestHead:
    def test_is_what_the_producer_answers(self, wire: Wire, ledger: Ledger) -> None:
        say(A, 1)
        wire.pump()
        lose(wire, 2)
        say(A, 3)
        wire.relay.step()
        restore_to(1)
        wire.deliver_all()
        assert (cursor().position, cursor().head) == (1, 3)
        wire.pump()
        assert (cursor().position, cursor().head, cursor().requested_at) == (1, 1, None)

    def test_is_asked_for_when_an_announcement_ends_before_it(
        self, wire: Wire, ledger: Ledger, settings: Settings
    ) -> None:
        say(A, 1)
        wire.pump()
        Cursor.objects.using(LISTENER).update(head=3)
        settings.PANGAEA = replace(settings.PANGAEA, announce_first=timedelta(microseconds=1))
        restarted = Wire(ledger)
        restarted.relay.step()
        restarted.relay.step()
        restarted.pump()
        assert (cursor().position, cursor().head, cursor().state) == (1, 1, Cursor.State.ACTIVE)


class TestCatchingUp:
    def test_past_the_known_head_asks_no_second_time(self, wire: Wire, ledger: Ledger, settings: Settings) -> None:
        settings.PANGAEA = replace(settings.PANGAEA, catch_up_renewal=timedelta(hours=1), relay_batch=5)
        say(A, 1, 2, 3, 4)
        wire.relay.step()
        wire.batches.clear()
        say(A, 5)
        wire.relay.step()
        wire.deliver_all()
        say(A, 6, 7, 8, 9, 10)
        wire.relay.step()
        wire.batches.clear()
        assert len(wire.requests) == 1
        wire.answer()
        say(A, 11)
        wire.relay.step()
        wire.deliver_all()
        assert wire.requests == []
        wire.pump()
        assert ledger.numbers() == list(range(1, 12))

    def test_begins_at_the_first_message_for_a_new_subscription(self, wire: Wire, ledger: Ledger) -> None:
        say(A, 1, 2)
        wire.relay.step()
        wire.batches.clear()
        say(A, 3)
        wire.pump()
        assert ledger.numbers() == [1, 2, 3]
        assert (cursor().position, cursor().head, cursor().requested_at) == (3, 3, None)

    def test_asks_although_the_clock_was_set_back(self, wire: Wire, ledger: Ledger, settings: Settings) -> None:
        settings.PANGAEA = replace(settings.PANGAEA, catch_up_renewal=timedelta(minutes=1))
        say(A, 1)
        wire.pump()
        Cursor.objects.using(LISTENER).update(requested_at=timezone.now() + timedelta(hours=1))
        say(A, 2)
        wire.relay.step()
        wire.batches.clear()
        say(A, 3)
        wire.pump()
        assert ledger.numbers() == [1, 2, 3]

    @pytest.mark.usefixtures("postgresql_only")
    def test_is_requested_on_a_connection_that_broke_while_it_was_idle(
        self, wire: Wire, postgres_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(idle, "IDLE_AFTER", 0.0)
        say(A, 1)
        with connections[SOURCE].cursor() as statement:
            statement.execute("SELECT pg_backend_pid()")
            (backend,) = statement.fetchone()
        with connections[LISTENER].cursor() as statement:
            statement.execute("SELECT 1")
        with psycopg.connect(postgres_url, autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(%s)", [backend])
        request = CatchUp(
            subscription="web_bff.ledger", source=SOURCE, audience="all", partition=0, position=0, message_id=None
        )
        replay.receive(SOURCE, msgspec.json.encode(request))
        assert CatchUpRequest.objects.using(SOURCE).count() == 1


class TestSaving:
    def test_twice_under_one_lock_writes_both_changes(self, wire: Wire, ledger: Ledger) -> None:
        say(A, 1)
        wire.relay.step()
        decoded = [decode(outgoing.body) for outgoing in wire.batches]
        wire.deliver_all()
        with transaction.atomic(using=LISTENER):
            (delivery,) = (Delivery(ledger.subscription, *each) for each in decoded if each[1])
            locked, _ = Cursor.lock(delivery, set())
            assert locked.request()
            locked.save()
            assert cursor().requested_at
            locked.on_answer()
            locked.save()
        assert cursor().requested_at is None


class TestFloor:
    def test_stops_only_a_subscription_that_is_below_it(self, wire: Wire, ledger: Ledger) -> None:
        say(A, 0)
        wire.pump()
        say(A, 1, 2, 3)
        wire.relay.step()
        rows = list(outbox_of(A))
        Stream.objects.using(SOURCE).filter(head=4).update(floor=2, floor_id=rows[1].message_id)
        outbox_of(A).filter(position__lte=2).delete()
        wire.batches.clear()
        say(A, 5)
        wire.pump()
        assert cursor().state == Cursor.State.BELOW_FLOOR
        assert ledger.numbers() == [0]
        Cursor.objects.using(LISTENER).update(state="active", position=2, message_id=rows[1].message_id)
        say(A, 6)
        wire.pump()
        assert ledger.numbers() == [0, 2, 3, 5, 6]

    def test_is_where_a_subscription_begins_that_has_taken_nothing(self, wire: Wire, ledger: Ledger) -> None:
        say(A, 1, 2, 3, 4)
        wire.relay.step()
        rows = list(outbox_of(A))
        Stream.objects.using(SOURCE).filter(head=4).update(floor=2, floor_id=rows[1].message_id)
        outbox_of(A).filter(position__lte=2).delete()
        wire.batches.clear()
        say(A, 5)
        wire.pump()
        assert ledger.numbers() == [3, 4, 5]
        assert cursor().state == Cursor.State.ACTIVE


class TestHoleInTheOutbox:
    def test_is_never_hidden(self, wire: Wire, ledger: Ledger) -> None:
        say(A, 1, 2, 3, 4)
        say(BESIDE_A + "x" * 9, 50)
        wire.relay.sequence()
        outbox_of(A).filter(position=2).delete()
        for _ in range(9):
            wire.relay.step()
        wire.deliver_all()
        assert ledger.numbers(A) == [1]
        assert cursor().position == 1
        replay.ask(SOURCE, asking(from_position=1))
        assert not wire.relay.step()
        wire.deliver_all()
        assert sorted(ledger.numbers()) == [1, 50]
