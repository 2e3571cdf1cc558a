"""The protocol: nothing lost, nothing twice, in order per key, and a poison message stops only its own key."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, ClassVar
from uuid import uuid4

import msgspec
import pytest
from django.db import IntegrityError, connections, transaction
from pytest_django import Settings

from pangaea import outbox
from pangaea.errors import Misuse
from pangaea.inbox.batches import decode
from pangaea.inbox.models import Cursor, DeadLetter
from pangaea.inbox.subscriptions import Projection, Reaction
from pangaea.messages import Event, Received
from pangaea.outbox.batches import Outgoing
from pangaea.outbox.models import CatchUpRequest, OutboxMessage, Stream
from pangaea.outbox.relay import partition_of
from pangaea.wire import Batch
from tests.kernel.parked import redrive
from tests.kernel.pipeline import LISTENER, SOURCE, Ledger, Tick, Wire, ledger_table, say

pytestmark = pytest.mark.django_db(databases=[SOURCE, LISTENER], transaction=True)


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    with ledger_table():
        yield Ledger()


@pytest.fixture
def wire(ledger: Ledger, settings: Settings) -> Wire:
    settings.PANGAEA = replace(settings.PANGAEA, catch_up_renewal=timedelta(microseconds=1))
    return Wire(ledger)


def cursor_of(key: str) -> Cursor:
    return Cursor.objects.using(LISTENER).get(partition=partition_of(key))


class TestPublish:
    def test_outside_a_transaction_is_misuse(self) -> None:
        with pytest.raises(Misuse, match="outside a transaction"):
            outbox.publish(Tick(number=1), key="a")
        assert not OutboxMessage.objects.using(SOURCE).exists()

    def test_in_a_transaction_of_another_database_is_misuse(self) -> None:
        with pytest.raises(Misuse, match="outside a transaction on 'orders'"), transaction.atomic(using=LISTENER):
            outbox.publish(Tick(number=1), key="a")

    @pytest.mark.parametrize("key", ["", "x" * 256, "nul\0", "half \ud800"])
    def test_an_unusable_key_is_misuse(self, key: str) -> None:
        with pytest.raises(Misuse, match="1 to 255"), transaction.atomic(using=SOURCE):
            outbox.publish(Tick(number=1), key=key)

    def test_a_message_that_is_too_large_is_misuse(self) -> None:
        class Letter(Tick, frozen=True, kw_only=True):
            __module__ = Tick.__module__
            text: str

        with transaction.atomic(using=SOURCE):
            outbox.publish(Letter(number=1, text="x" * 1_000_000), key="a")
            with pytest.raises(Misuse, match=r"takes 1,100,\d{3} bytes; at most 1,048,576"):
                outbox.publish(Letter(number=1, text="x" * 1_100_000), key="a")
        assert OutboxMessage.objects.using(SOURCE).count() == 1

    @pytest.mark.parametrize("text", ["nul \0", "half of a pair \ud83d", msgspec.Raw(b'"\\ude00 alone"'), {"\0": 1}])
    def test_text_that_no_database_stores_is_misuse(self, text: Any) -> None:
        class Note(Tick, frozen=True, kw_only=True):
            __module__ = Tick.__module__
            text: Any

        with transaction.atomic(using=SOURCE):
            outbox.publish(Note(number=1, text="\t \\u0000 \U0001f600"), key="a")
            outbox.publish(Note(number=1, text=msgspec.Raw(b'"\\ud83d\\ude00"')), key="a")
            with pytest.raises(Misuse, match="NUL, or with half of a surrogate pair"):
                outbox.publish(Note(number=1, text=text), key="a")
        assert OutboxMessage.objects.using(SOURCE).count() == 2

    @pytest.mark.parametrize("levels", [64, 2_000, 200_000])
    def test_a_message_that_is_nested_too_deeply_is_misuse(self, levels: int) -> None:
        class Tree(Tick, frozen=True, kw_only=True):
            __module__ = Tick.__module__
            text: str = "[" * 100
            nested: Any = None

        deepest: list[Any] = []
        for _ in range(62):
            deepest = [deepest]
        too_deep: list[Any] = []
        for _ in range(levels - 1):
            too_deep = [too_deep]
        with transaction.atomic(using=SOURCE):
            outbox.publish(Tree(number=1, nested=deepest), key="a")
            with pytest.raises(Misuse, match="more than 64 levels deep"):
                outbox.publish(Tree(number=1, nested=too_deep), key="a")
        assert OutboxMessage.objects.using(SOURCE).count() == 1

    @pytest.mark.parametrize(
        ("fields", "name"),
        [({"key": ""}, "key_is_not_empty"), ({"body": "\u00e9" * 524_289}, "body_takes_a_mebibyte_at_most")],
        ids=["empty key", "large body"],
    )
    def test_a_row_by_hand_obeys_the_same_limits(self, fields: dict[str, str], name: str) -> None:
        row = {"audience": "all", "key": "a", "name": "orders.tick", "body": "\u00e9" * 524_288}
        with pytest.raises(IntegrityError, match=name), transaction.atomic(using=SOURCE):
            OutboxMessage.objects.using(SOURCE).create(message_id=uuid4(), **row | fields)
        stored = OutboxMessage.objects.using(SOURCE).create(message_id=uuid4(), **row)
        OutboxMessage.objects.using(SOURCE).filter(pk=stored.pk).update(position=1, partition=0, **fields)

    def test_another_modules_event_is_misuse(self) -> None:
        class Stolen(Tick, frozen=True, kw_only=True):
            __module__ = "modules.web_bff.acl"

        with pytest.raises(Misuse, match=r"web_bff may not publish orders\.tick"), transaction.atomic(using=LISTENER):
            outbox.publish(Stolen(number=1), key="a")

    def test_a_rollback_takes_the_message_along(self) -> None:
        with transaction.atomic(using=SOURCE):
            outbox.publish(Tick(number=1), key="a")
            transaction.set_rollback(True, using=SOURCE)
        assert not OutboxMessage.objects.using(SOURCE).exists()


@pytest.mark.django_db(databases=[SOURCE, LISTENER])
class TestPublishInATestCase:
    def test_the_transaction_that_a_test_opened_does_not_count(self) -> None:
        with pytest.raises(Misuse, match="outside a transaction"):
            outbox.publish(Tick(number=1), key="a")


class TestRelay:
    def test_gives_dense_positions_in_each_partition(self, wire: Wire) -> None:
        for number in range(40):
            say(f"key-{number % 13}", number)
        wire.pump()
        for stream in Stream.objects.using(SOURCE).all():
            positions = OutboxMessage.objects.using(SOURCE).filter(partition=stream.partition).order_by("id")
            assert list(positions.values_list("position", flat=True)) == list(range(1, stream.head + 1))
            assert stream.sent == stream.head
        assert sum(Stream.objects.using(SOURCE).values_list("head", flat=True)) == 40

    def test_sends_a_batch_again_that_the_broker_did_not_confirm(self, wire: Wire, ledger: Ledger) -> None:
        say("a", 1, 2)
        wire.is_down = True
        with pytest.raises(ConnectionError):
            wire.relay.step()
        assert Stream.objects.using(SOURCE).get(partition=partition_of("a")).sent == 0
        wire.is_down = False
        wire.pump()
        assert ledger.numbers() == [1, 2]

    def test_splits_a_long_stream_into_batches(self, wire: Wire, settings: Settings) -> None:
        settings.PANGAEA = replace(settings.PANGAEA, relay_batch=3)
        say("a", *range(8))
        while wire.relay.step():
            pass
        lengths = [len(consumed.messages) for consumed in map(_decoded, wire.batches)]
        assert lengths == [3, 3, 2]

    def test_announces_an_idle_streams_last_position(self, wire: Wire, settings: Settings) -> None:
        settings.PANGAEA = replace(settings.PANGAEA, announce_first=timedelta(microseconds=1))
        say("a", 1)
        wire.relay.step()
        wire.batches.clear()
        wire.relay.step()
        (announcement,) = [each for each in map(_decoded, wire.batches) if each.partition == partition_of("a")]
        assert (announcement.messages, announcement.first, announcement.head) == ([], 2, 1)


class TestConsume:
    def test_applies_each_message_once_however_often_it_is_delivered(self, wire: Wire, ledger: Ledger) -> None:
        say("a", 1, 2, 3)
        wire.relay.step()
        (batch,) = wire.batches
        for _ in range(3):
            wire.deliver(batch)
        assert ledger.numbers() == [1, 2, 3]
        assert not wire.requests

    def test_heals_a_gap_by_asking_from_its_cursor(self, wire: Wire, ledger: Ledger) -> None:
        say("a", 1, 2)
        wire.relay.step()
        wire.batches.clear()
        say("a", 3)
        wire.relay.step()
        wire.deliver_all()
        assert ledger.numbers() == []
        (request,) = wire.requests
        assert request.position == 0
        wire.pump()
        assert ledger.numbers() == [1, 2, 3]
        assert not CatchUpRequest.objects.using(SOURCE).exists()
        assert cursor_of("a").requested_at is None

    def test_heals_a_lost_tail_by_an_announcement(self, wire: Wire, ledger: Ledger, settings: Settings) -> None:
        settings.PANGAEA = replace(settings.PANGAEA, announce_first=timedelta(microseconds=1))
        say("a", 1, 2)
        wire.relay.step()
        wire.batches.clear()
        wire.relay.step()
        wire.pump()
        assert ledger.numbers() == [1, 2]

    def test_asks_once_while_the_request_is_outstanding(self, wire: Wire, settings: Settings) -> None:
        settings.PANGAEA = replace(settings.PANGAEA, catch_up_renewal=timedelta(hours=1))
        say("a", 1)
        wire.relay.step()
        wire.batches.clear()
        for number in (2, 3):
            say("a", number)
            wire.relay.step()
        wire.deliver_all()
        assert len(wire.requests) == 1

    def test_joins_an_answer_to_the_batch_after_it(self, wire: Wire, ledger: Ledger, settings: Settings) -> None:
        settings.PANGAEA = replace(settings.PANGAEA, relay_batch=2)
        say("a", *range(7))
        while wire.relay.step():
            pass
        wire.deliver(wire.batches[-1])
        wire.batches.clear()
        wire.answer()
        say("a", 7, 8, 9)
        wire.pump()
        assert ledger.numbers() == list(range(10))

    def test_a_late_announcement_is_verified_and_does_no_harm(
        self, wire: Wire, ledger: Ledger, settings: Settings
    ) -> None:
        settings.PANGAEA = replace(settings.PANGAEA, announce_first=timedelta(microseconds=1))
        say("a", 1)
        wire.relay.step()
        wire.relay.step()
        (late,) = [each for each in wire.batches if each.last == 1 and not _decoded(each).messages]
        wire.batches.remove(late)
        say("a", 2)
        wire.pump()
        wire.deliver(late)
        assert len(wire.requests) == 1
        wire.pump()
        assert cursor_of("a").state == Cursor.State.ACTIVE
        assert ledger.numbers() == [1, 2]

    def test_a_producer_restored_from_a_backup_is_diverged(self, wire: Wire, ledger: Ledger) -> None:
        say("a", 1, 2, 3)
        wire.pump()
        OutboxMessage.objects.using(SOURCE).filter(position__gt=1).delete()
        first = OutboxMessage.objects.using(SOURCE).get(position=1)
        Stream.objects.using(SOURCE).filter(head=3).update(head=1, sent=1, sent_id=first.message_id)
        say("a", 4, 5, 6)
        wire.pump()
        assert cursor_of("a").state == Cursor.State.DIVERGED
        assert ledger.numbers() == [1, 2, 3]

    def test_a_producer_restored_and_silent_is_diverged(self, wire: Wire, ledger: Ledger, settings: Settings) -> None:
        say("a", 1, 2, 3)
        wire.pump()
        OutboxMessage.objects.using(SOURCE).filter(position__gt=1).delete()
        first = OutboxMessage.objects.using(SOURCE).get(position=1)
        Stream.objects.using(SOURCE).filter(head=3).update(head=1, sent=1, sent_id=first.message_id)
        settings.PANGAEA = replace(settings.PANGAEA, announce_first=timedelta(microseconds=1))
        restarted = Wire(ledger)
        restarted.relay.step()
        restarted.relay.step()
        restarted.pump()
        assert cursor_of("a").state == Cursor.State.DIVERGED


class TestHandlers:
    def test_a_batch_handler_gets_a_run_at_once(self, wire: Wire) -> None:
        wire.ledger.subscription = Projection("web_bff.ledger")
        runs: list[list[int]] = []

        @wire.ledger.subscription.on_batch(Tick)
        def keep(run: Sequence[Received[Tick]]) -> None:
            runs.append([message.payload.number for message in run])

        say("a", 1, 2, 3)
        wire.pump()
        assert runs == [[1, 2, 3]]

    def test_a_run_ends_where_another_handler_takes_over(self, wire: Wire) -> None:
        class Tock(Event, frozen=True, kw_only=True):
            __module__ = "modules.orders.messages"
            wire_name: ClassVar[str] = "orders.tock"

        wire.ledger.subscription = Projection("web_bff.ledger")
        order: list[str] = []

        @wire.ledger.subscription.on_batch(Tick)
        def tick(run: Sequence[Received[Tick]]) -> None:
            order.append("tick" * len(run))

        @wire.ledger.subscription.on(Tock)
        def tock(_message: Received[Tock]) -> None:
            order.append("tock")

        say("a", 1, 2)
        with transaction.atomic(using=SOURCE):
            outbox.publish(Tock(), key="a")
        say("a", 3)
        wire.pump()
        assert order == ["ticktick", "tock", "tick"]

    def test_a_failing_run_is_retried_one_by_one_and_parks_the_failing_message(
        self, wire: Wire, ledger: Ledger
    ) -> None:
        write = ledger.subscription.handlers["orders.tick", 1].call
        wire.ledger.subscription = Projection("web_bff.ledger")

        @wire.ledger.subscription.on_batch(Tick)
        def keep(run: Sequence[Received[Tick]]) -> None:
            for message in run:
                write(message)

        ledger.poison = {2}
        other = next(key for key in map(str, range(99)) if partition_of(key) == partition_of("a"))
        say("a", 1, 2)
        say(other, 3)
        wire.pump()
        assert ledger.numbers() == [1, 3]

    def test_two_versions_of_a_message_have_a_handler_each(self, wire: Wire) -> None:
        class Later(Tick, frozen=True, kw_only=True):
            __module__ = "modules.orders.messages"
            version = 2

        wire.ledger.subscription = Projection("web_bff.ledger")
        seen: list[tuple[int, int]] = []
        wire.ledger.subscription.on(Tick)(lambda message: seen.append((1, message.payload.number)))
        wire.ledger.subscription.on(Later)(lambda message: seen.append((2, message.payload.number)))
        say("a", 1)
        with transaction.atomic(using=SOURCE):
            outbox.publish(Later(number=2), key="a")
        wire.pump()
        assert seen == [(1, 1), (2, 2)]


class TestParking:
    def test_a_poison_message_stops_only_its_own_key(self, wire: Wire, ledger: Ledger) -> None:
        ledger.poison = {2}
        other = next(key for key in map(str, range(99)) if partition_of(key) == partition_of("a"))
        say("a", 1, 2, 3)
        say(other, 10, 11)
        say("a", 4)
        wire.pump()
        assert ledger.numbers() == [1, 10, 11]
        letters = DeadLetter.objects.using(LISTENER).order_by("position")
        assert [(letter.key, letter.attempts) for letter in letters] == [("a", 1), ("a", 0), ("a", 0)]
        assert "poison 2" in letters[0].error
        assert "Traceback" in letters[0].traceback

    def test_redrive_applies_a_key_in_order(self, wire: Wire, ledger: Ledger) -> None:
        ledger.poison = {2}
        say("a", 1, 2, 3, 4)
        wire.pump()
        with pytest.raises(ValueError, match="poison 2"):
            redrive(ledger.subscription, "a")
        assert ledger.numbers() == [1]
        ledger.poison = set()
        assert redrive(ledger.subscription, "a") == 3
        say("a", 5)
        wire.pump()
        assert ledger.numbers() == [1, 2, 3, 4, 5]
        assert not DeadLetter.objects.using(LISTENER).exists()

    def test_a_message_of_an_unknown_version_is_parked(self, wire: Wire, ledger: Ledger) -> None:
        class Later(Tick, frozen=True, kw_only=True):
            __module__ = "modules.orders.messages"
            version = 2

        with transaction.atomic(using=SOURCE):
            outbox.publish(Later(number=1), key="a")
        wire.pump()
        assert "version 2" in DeadLetter.objects.using(LISTENER).get().error
        assert ledger.numbers() == []

    def test_a_projection_that_publishes_is_parked_as_misuse(self, wire: Wire) -> None:
        speaking = Projection("web_bff.ledger")
        wire.ledger.subscription = speaking

        @speaking.on(Tick)
        def speak(message: Received[Tick]) -> None:
            with transaction.atomic(using=SOURCE):
                outbox.publish(message.payload, key=message.key)

        say("a", 1)
        wire.pump()
        assert "use a Reaction" in DeadLetter.objects.using(LISTENER).get().error

    def test_a_reaction_may_publish(self, wire: Wire) -> None:
        echoing = Reaction("web_bff.ledger", begins="start")
        wire.ledger.subscription = echoing

        @echoing.on(Tick)
        def echo(message: Received[Tick]) -> None:
            if message.payload.number:
                with transaction.atomic(using=SOURCE):
                    outbox.publish(Tick(number=message.payload.number - 1), key=message.key)

        say("a", 3)
        wire.pump()
        assert OutboxMessage.objects.using(SOURCE).count() == 4
        assert not DeadLetter.objects.using(LISTENER).exists()

    def test_a_failure_at_commit_parks_exactly_the_failing_message(self, wire: Wire, ledger: Ledger) -> None:
        if connections[LISTENER].vendor != "postgresql":
            pytest.skip("a deferred unique constraint is PostgreSQL's")
        with connections[LISTENER].cursor() as cursor:
            cursor.execute("ALTER TABLE test_ledger ADD CONSTRAINT once UNIQUE (number) DEFERRABLE INITIALLY DEFERRED")
            cursor.execute("INSERT INTO test_ledger (message_key, number) VALUES ('before', 50)")
        keys = [key for key in map(str, range(2000)) if partition_of(key) == 0][:100]
        for number, key in enumerate(keys):
            say(key, number)
        wire.pump()
        assert sorted(ledger.numbers()) == list(range(100))
        assert [letter.key for letter in DeadLetter.objects.using(LISTENER).all()] == [keys[50]]


def _decoded(outgoing: Outgoing) -> Batch:
    return decode(outgoing.body)[0]
