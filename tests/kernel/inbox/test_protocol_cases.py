"""Single schedules that a random search seldom reaches: each is one way to lose, repeat or stop messages."""

import json
from typing import Any

import msgspec
import pytest
from django.db import OperationalError, connections, transaction
from msgspec.structs import replace

from pangaea import modules
from pangaea.errors import MalformedMessage
from pangaea.ids import uuid7
from pangaea.inbox import consume
from pangaea.inbox.batches import decode
from pangaea.inbox.delivery import Delivery
from pangaea.inbox.models import Cursor, DeadLetter
from pangaea.inbox.subscriptions import Projection
from pangaea.messages import Received
from pangaea.outbox.models import OutboxMessage
from pangaea.outbox.relay import partition_of
from pangaea.wire import Batch
from tests.kernel.failing import DEADLOCK, fail_by
from tests.kernel.parked import redrive
from tests.kernel.pipeline import LISTENER, SOURCE, Ledger, Tick, Wire, say
from tests.kernel.unreadable import UNREADABLE, deep, too_deep

pytestmark = pytest.mark.django_db(databases=[SOURCE, LISTENER], transaction=True)

A = "a"
BESIDE_A = next(key for key in map(str, range(99)) if partition_of(key) == partition_of(A))


def outbox_of(key: str) -> Any:
    return OutboxMessage.objects.using(SOURCE).filter(key=key).order_by("id")


def cursor() -> Cursor:
    return Cursor.objects.using(LISTENER).get(partition=partition_of(A))


def letters() -> list[tuple[int, str]]:
    return list(DeadLetter.objects.using(LISTENER).order_by("position").values_list("position", "key"))


class TestUnreadableMessage:
    def test_is_parked_and_the_rest_of_its_batch_goes_on(self, wire: Wire, ledger: Ledger) -> None:
        say(A, 1, 2, 3)
        say(BESIDE_A, 10)
        broken = outbox_of(A)[1]
        outbox_of(A).filter(pk=broken.pk).update(
            body=f'{{"id":"{broken.message_id}","subject":"a","type":"orders.tick"}}'
        )
        wire.pump()
        assert ledger.numbers() == [1, 10]
        assert letters() == [(2, A), (3, A)]
        say(BESIDE_A, 11)
        wire.pump()
        assert ledger.numbers() == [1, 10, 11]
        with pytest.raises(MalformedMessage, match="no envelope"):
            redrive(ledger.subscription, A)

    @pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE)
    def test_is_parked_with_its_key_whatever_its_bytes_are(self, wire: Wire, ledger: Ledger, body: str) -> None:
        say(A, 1, 2, 3)
        say(BESIDE_A, 10)
        outbox_of(A).filter(pk=outbox_of(A)[1].pk).update(body=body)
        wire.pump()
        assert sorted(ledger.numbers()) == [1, 10]
        assert letters() == [(2, A), (3, A)]
        with pytest.raises(MalformedMessage):
            redrive(ledger.subscription, A)
        say(BESIDE_A, 11)
        wire.pump()
        assert sorted(ledger.numbers()) == [1, 10, 11]

    def test_is_parked_with_its_key_where_its_bytes_are_no_text(self, wire: Wire, ledger: Ledger) -> None:
        if connections[SOURCE].vendor != "sqlite":
            pytest.skip("PostgreSQL stores no such text")
        say(A, 1, 2)
        with connections[SOURCE].cursor() as statement:
            statement.execute(
                "UPDATE pangaea_outbox SET body = CAST(x'7b22fffe227d' AS text) WHERE id = %s", [outbox_of(A)[1].pk]
            )
        wire.pump()
        assert ledger.numbers() == [1]
        assert letters() == [(2, A)]

    @pytest.mark.parametrize("field", ["id", "subject"])
    def test_is_one_that_disagrees_with_its_row(self, wire: Wire, ledger: Ledger, field: str) -> None:
        say(A, 1, 2)
        row = outbox_of(A)[1]
        foreign = {"id": str(uuid7()), "subject": BESIDE_A}[field]
        outbox_of(A).filter(pk=row.pk).update(body=json.dumps(json.loads(row.body) | {field: foreign}))
        wire.pump()
        assert letters() == [(2, A)]
        with pytest.raises(MalformedMessage, match=foreign):
            redrive(ledger.subscription, A)
        assert ledger.numbers() == [1]

    def test_at_the_end_of_a_batch_does_not_look_like_another_history(self, wire: Wire, ledger: Ledger) -> None:
        say(A, 1)
        say(BESIDE_A, 2)
        outbox_of(BESIDE_A).update(body="{}")
        wire.pump()
        say(A, 3)
        wire.pump()
        assert cursor().state == Cursor.State.ACTIVE
        assert ledger.numbers() == [1, 3]

    @pytest.mark.parametrize(
        "body", [b"{}", b"17", b"null", b'{"id":1,"subject":2,"type":3}', b'{"subject":"\\u0000"}']
    )
    def test_of_a_producer_of_the_version_before_is_parked_alone(self, ledger: Ledger, body: bytes) -> None:
        batch = Batch(source=SOURCE, audience="all", partition=partition_of(A), first=1, before=None, head=1)
        old = msgspec.json.encode(replace(batch, messages=[msgspec.Raw(body)]))
        consume.apply(Delivery(ledger.subscription, *decode(old)))
        assert letters() == [(1, "")]
        assert cursor().position == 1

    def test_is_one_that_is_nested_too_deeply_for_the_reader(self, wire: Wire, ledger: Ledger) -> None:
        depths = range(too_deep() - 250, too_deep() + 50, 10)
        say(A, *depths)
        for row, depth in zip(outbox_of(A), depths, strict=True):
            body = row.body.replace(f'"number":{depth}', f'"number":{depth},"more":{deep(depth)}')
            outbox_of(A).filter(pk=row.pk).update(body=body)
        say(BESIDE_A, 1)
        wire.pump()
        applied, parked = ledger.numbers(A), letters()
        assert applied == list(depths)[: len(applied)]
        assert parked == [(position + 1, A) for position in range(len(applied), len(depths))]
        assert parked
        assert ledger.numbers(BESIDE_A) == [1]


class Silent(Exception):
    """An error whose text cannot be printed."""

    def __repr__(self) -> str:
        raise RuntimeError("no words")

    __str__ = __repr__


class TestParking:
    @pytest.mark.parametrize("error", [ValueError("nul \0 in it"), ValueError("half a pair \ud800"), Silent()])
    def test_works_with_any_text_of_the_error(self, wire: Wire, error: Exception) -> None:
        taken: list[int] = []
        taking = Projection("web_bff.ledger")
        wire.ledger.subscription = taking

        @taking.on(Tick)
        def take(message: Received[Tick]) -> None:
            if message.payload.number == 1:
                raise error
            taken.append(message.payload.number)

        say(A, 1)
        say(BESIDE_A, 2)
        wire.pump()
        assert letters() == [(1, A)]
        assert taken[-1] == 2

    def test_is_not_for_an_error_that_a_deadlock_caused(self, wire: Wire) -> None:
        calls: list[int] = []
        taking = Projection("web_bff.ledger")
        wire.ledger.subscription = taking

        @taking.on(Tick)
        def take(message: Received[Tick]) -> None:
            calls.append(message.payload.number)
            if len(calls) <= 2:
                try:
                    fail_by(DEADLOCK)
                except OperationalError as error:
                    raise RuntimeError("the handler's own words") from error

        say(A, 1)
        wire.pump()
        assert calls == [1, 1, 1]
        assert letters() == []

    def test_is_not_for_an_error_after_the_commit(self, wire: Wire) -> None:
        calls: list[int] = []
        taking = Projection("web_bff.ledger")
        wire.ledger.subscription = taking

        @taking.on(Tick)
        def take(message: Received[Tick]) -> None:
            calls.append(message.payload.number)
            transaction.on_commit(lambda: 1 / 0, using=LISTENER)

        say(A, 1, 2)
        wire.pump()
        assert calls == [1, 2]
        assert letters() == []
        assert cursor().position == 2


applied: list[int] = []
stuck, beside = Projection("web_bff.stuck"), Projection("web_bff.beside")


@stuck.on(Tick)
def fail(message: Received[Tick]) -> None:
    raise ValueError(message.payload.number)


@beside.on(Tick)
def note(message: Received[Tick]) -> None:
    applied.append(message.payload.number)


class TestReceive:
    def test_of_one_subscription_does_not_depend_on_another(self, wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
        here = __name__
        monkeypatch.setattr(modules.named(LISTENER), "subscriptions", (f"{here}.stuck", f"{here}.beside"))
        # A letter that has the next message's position already: this subscription can neither apply nor park that.
        DeadLetter.objects.using(LISTENER).create(
            subscription="web_bff.stuck", source=SOURCE, audience="all", partition=partition_of(A), position=1, key="x"
        )
        applied.clear()
        say(A, 1)
        wire.relay.step()
        for outgoing in wire.batches:
            consume.receive(LISTENER, outgoing.body)
        assert applied == [1]
