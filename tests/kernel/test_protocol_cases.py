"""Single schedules that a random search seldom meets: each is one way to lose, repeat or stop something."""

from typing import Any

import pytest
from django.db import OperationalError, transaction

from pangaea import modules
from pangaea.errors import MalformedMessage
from pangaea.inbox import consume, dead_letters
from pangaea.inbox.models import Cursor, DeadLetter
from pangaea.inbox.subscriptions import Projection
from pangaea.messages import Received
from pangaea.outbox.models import OutboxMessage
from pangaea.outbox.relay import partition_of
from tests.kernel.failing import DEADLOCK, fail_by
from tests.kernel.pipeline import LISTENER, SOURCE, Ledger, Tick, Wire, say

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
            dead_letters.redrive(ledger.subscription, A)

    @pytest.mark.parametrize("body", ["{}", "17", "null", '{"id":1,"subject":2,"type":3}', '{"subject":"\\u0000"}'])
    def test_that_does_not_even_tell_its_key_is_parked_alone(self, wire: Wire, ledger: Ledger, body: str) -> None:
        say(A, 1, 2, 3)
        outbox_of(A).filter(pk=outbox_of(A)[1].pk).update(body=body)
        wire.pump()
        assert ledger.numbers() == [1, 3]
        assert [position for position, _ in letters()] == [2]
        say(A, 4)
        wire.pump()
        assert ledger.numbers() == [1, 3, 4]

    def test_at_the_end_of_a_batch_does_not_look_like_another_history(self, wire: Wire, ledger: Ledger) -> None:
        say(A, 1, 2)
        outbox_of(A).filter(pk=outbox_of(A)[1].pk).update(body="{}")
        wire.pump()
        say(A, 3)
        wire.pump()
        assert cursor().state == Cursor.State.ACTIVE
        assert ledger.numbers() == [1, 3]


class Silent(Exception):
    """An error that cannot even be printed."""

    def __repr__(self) -> str:
        raise RuntimeError("no words")

    __str__ = __repr__


class TestParking:
    @pytest.mark.parametrize("error", [ValueError("nul \0 in it"), ValueError("half a pair \ud800"), Silent()])
    def test_works_whatever_the_error_says(self, wire: Wire, error: Exception) -> None:
        said: list[int] = []
        listening = Projection("web_bff.ledger")
        wire.ledger.subscription = listening

        @listening.on(Tick)
        def listen(message: Received[Tick]) -> None:
            if message.payload.number == 1:
                raise error
            said.append(message.payload.number)

        say(A, 1)
        say(BESIDE_A, 2)
        wire.pump()
        assert letters() == [(1, A)]
        assert said[-1] == 2

    def test_is_not_for_an_error_that_a_deadlock_caused(self, wire: Wire) -> None:
        calls: list[int] = []
        listening = Projection("web_bff.ledger")
        wire.ledger.subscription = listening

        @listening.on(Tick)
        def listen(message: Received[Tick]) -> None:
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
        listening = Projection("web_bff.ledger")
        wire.ledger.subscription = listening

        @listening.on(Tick)
        def listen(message: Received[Tick]) -> None:
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
        # A letter that is left where the next one belongs: this subscription can neither apply nor park.
        DeadLetter.objects.using(LISTENER).create(
            subscription="web_bff.stuck", source=SOURCE, audience="all", partition=partition_of(A), position=1, key="x"
        )
        applied.clear()
        say(A, 1)
        wire.relay.step()
        for outgoing in wire.batches:
            consume.receive(LISTENER, outgoing.body)
        assert applied == [1]
