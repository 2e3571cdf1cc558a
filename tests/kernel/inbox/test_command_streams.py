"""Commands: a stream for one module, which accepts them only from the modules that it names. The wire is a list."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any, ClassVar

import msgspec
import pytest
from django.db import transaction
from pytest_django import Settings

from pangaea import modules, outbox
from pangaea.broker import topology
from pangaea.errors import Misuse
from pangaea.inbox import consume, reports
from pangaea.inbox.models import Cursor, DeadLetter
from pangaea.inbox.subscriptions import Reaction
from pangaea.messages import Command, Event, Received
from pangaea.outbox import replay, subscribers
from pangaea.outbox.batches import Outgoing
from pangaea.outbox.models import CatchUpRequest, OutboxMessage, Stream, Subscriber
from pangaea.outbox.publish import projecting
from pangaea.outbox.relay import partition_of
from pangaea.wire import PARTITIONS, CatchUp
from tests.kernel.relays import relay_of

SENDER, RECEIVER, STRANGER = "web_bff", "orders", "users"

pytestmark = pytest.mark.django_db(databases=[SENDER, RECEIVER, STRANGER], transaction=True)

done: list[int] = []
counting = Reaction("orders.counting", begins="start")


class Count(Command, frozen=True, kw_only=True):
    """The receiver's own class. It poses as one of orders, the module that receives the command."""

    __module__ = "modules.orders.messages"
    wire_name: ClassVar[str] = "orders.count"
    number: int


class AskToCount(Command, frozen=True, kw_only=True):
    """The sender's class of the same command."""

    __module__ = "modules.web_bff.acl"
    wire_name: ClassVar[str] = "orders.count"
    number: int


class AskForMore(AskToCount, frozen=True, kw_only=True):
    """A command that a newer receiver would know."""

    __module__ = "modules.web_bff.acl"
    wire_name: ClassVar[str] = "orders.count_further"


@counting.on(Count)
def count(message: Received[Count]) -> None:
    done.append(message.payload.number)


COMMITTED = -1
committing = Reaction("orders.committing", begins="start")


@committing.on(Count)
def count_commits(message: Received[Count]) -> None:
    done.append(message.payload.number)
    transaction.on_commit(lambda: done.append(COMMITTED), using=RECEIVER)


@pytest.fixture(autouse=True)
def receiver(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> Iterator[modules.ModuleConfig]:
    """Orders with the counting subscription alone, which accepts commands from the sender."""
    config = modules.named(RECEIVER)
    monkeypatch.setattr(config, "subscriptions", (f"{__name__}.counting",))
    monkeypatch.setattr(config, "accepts_commands_from", (SENDER,))
    settings.PANGAEA = replace(settings.PANGAEA, catch_up_renewal=timedelta(microseconds=1))
    yield config
    done.clear()


class Wire:
    """From the sender's relay to the receiver and back."""

    def __init__(self) -> None:
        self.batches: list[Outgoing] = []
        self.relay = relay_of(SENDER, self.batches.extend)

    def take(self) -> list[Outgoing]:
        """Relay all waiting messages. Returns the batches on the wire, and empties it."""
        while self.relay.step():
            pass
        taken, self.batches[:] = list(self.batches), []
        return taken

    def deliver(self, outgoing: Outgoing, *, to: str = RECEIVER) -> None:
        """Bring a batch to a module, and its requests back to the sender."""
        for request in consume.receive(to, outgoing.body):
            replay.receive(SENDER, msgspec.json.encode(request))

    def pump(self) -> None:
        """Relay and deliver until nothing moves."""
        while taken := self.take():
            for outgoing in taken:
                self.deliver(outgoing)


@pytest.fixture
def wire() -> Wire:
    return Wire()


def ask(*numbers: int, key: str = "a", kind: type[AskToCount] = AskToCount) -> None:
    """Send commands, a transaction each."""
    for number in numbers:
        with transaction.atomic(using=SENDER):
            outbox.publish(kind(number=number), key=key)


def requests() -> list[tuple[str, str]]:
    return list(CatchUpRequest.objects.using(SENDER).values_list("subscription", "audience"))


class TestACommand:
    def test_has_a_stream_of_its_own_that_the_relay_makes(self, wire: Wire) -> None:
        ask(1)
        [outgoing] = wire.take()
        assert outgoing.routing_key == f"web_bff.orders.{partition_of('a')}"
        audiences = Stream.objects.using(SENDER).order_by("audience").values_list("audience", flat=True).distinct()
        assert list(audiences) == ["all", "orders"]
        assert Stream.objects.using(SENDER).filter(audience=RECEIVER).count() == PARTITIONS

    def test_is_routed_to_its_receivers_queue_and_to_no_other(self, settings: Settings) -> None:
        queues = topology.queues(settings.PANGAEA, modules.labels(), virtual=True)
        bound = {queue.name: [each.routing_key for each in queue.bindings] for queue in queues}
        listening = [name for name, keys in bound.items() if any(key.split(".")[1] == RECEIVER for key in keys)]
        assert [name.removeprefix(settings.PANGAEA.broker_prefix) for name in listening] == ["orders.inbox.0of1"]

    def test_is_obeyed_once_and_in_order_of_its_key(self, wire: Wire) -> None:
        ask(1, 2, 3)
        taken = wire.take()
        for outgoing in taken * 2:
            wire.deliver(outgoing)
        assert done == [1, 2, 3]

    def test_has_a_transaction_of_its_own_so_that_its_locks_do_not_wait_for_another(
        self, wire: Wire, monkeypatch: pytest.MonkeyPatch, receiver: modules.ModuleConfig
    ) -> None:
        monkeypatch.setattr(receiver, "subscriptions", (f"{__name__}.committing",))
        ask(1, 2, 3)
        taken = wire.take()
        assert len(taken) == 1
        wire.deliver(taken[0])
        assert done == [1, COMMITTED, 2, COMMITTED, 3, COMMITTED]

    def test_reaches_nobody_else(self, wire: Wire) -> None:
        ask(1)
        [outgoing] = wire.take()
        for module in (SENDER, STRANGER):
            wire.deliver(outgoing, to=module)
            assert not Cursor.objects.using(module).exists()
        assert done == []

    def test_that_was_lost_is_asked_for_again(self, wire: Wire) -> None:
        ask(1, 2)
        wire.take()
        ask(3)
        [outgoing] = wire.take()
        wire.deliver(outgoing)
        assert (done, requests()) == ([], [("orders.counting", RECEIVER)])
        answers = wire.take()
        assert {answer.routing_key for answer in answers} == {outgoing.routing_key}
        for answer in answers:
            wire.deliver(answer)
        assert done == [1, 2, 3]

    def test_waits_for_a_receiver_that_begins_later(
        self, wire: Wire, receiver: modules.ModuleConfig, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as earlier:
            earlier.setattr(receiver, "subscriptions", ())
            ask(1, 2)
            wire.pump()
        ask(3)
        wire.pump()
        assert done == [1, 2, 3]

    def test_cannot_be_sent_by_a_projection(self) -> None:
        token = projecting.set("web_bff.orders")
        try:
            with pytest.raises(Misuse, match="use a Reaction"):
                ask(1)
        finally:
            projecting.reset(token)

    def test_that_the_receiver_does_not_know_is_parked_until_it_does(self, wire: Wire) -> None:
        ask(1, kind=AskForMore)
        ask(2)
        ask(3, key="b")
        wire.pump()
        letters = DeadLetter.objects.using(RECEIVER).order_by("position")
        assert [(letter.name, bool(letter.error)) for letter in letters] == [
            ("orders.count_further", True),
            ("orders.count", False),
        ]
        assert "orders does not handle" in letters[0].error
        assert done == [3]


class TestASender:
    def test_whom_the_receiver_does_not_name_is_refused(
        self, wire: Wire, monkeypatch: pytest.MonkeyPatch, receiver: modules.ModuleConfig
    ) -> None:
        monkeypatch.setattr(receiver, "accepts_commands_from", (STRANGER,))
        ask(1)
        wire.pump()
        assert done == []
        assert not Cursor.objects.using(RECEIVER).exists()
        assert not DeadLetter.objects.using(RECEIVER).exists()
        assert requests() == []

    def test_cannot_pass_for_another(self, wire: Wire, receiver: modules.ModuleConfig) -> None:
        ask(1)
        [outgoing] = wire.take()
        assert consume.receive(RECEIVER, outgoing.body, sender=STRANGER) == []
        assert done == []
        consume.receive(RECEIVER, outgoing.body, sender=SENDER)
        assert done == [1]

    def test_cannot_say_what_another_has_to_say(self, wire: Wire) -> None:
        ask(1, 2)
        first = OutboxMessage.objects.using(SENDER).order_by("id")[0]
        forged = json.loads(first.body) | {"source": STRANGER}
        OutboxMessage.objects.using(SENDER).filter(pk=first.pk).update(body=json.dumps(forged))
        wire.pump()
        assert done == []
        first_letter, _ = DeadLetter.objects.using(RECEIVER).order_by("position")
        assert "users" in first_letter.error

    def test_cannot_slip_an_event_of_another_into_its_commands(
        self, wire: Wire, monkeypatch: pytest.MonkeyPatch, receiver: modules.ModuleConfig
    ) -> None:
        monkeypatch.setattr(receiver, "subscriptions", (f"{__name__}.gullible",))
        ask(1)
        row = OutboxMessage.objects.using(SENDER).get()
        forged = json.loads(row.body) | {"type": "users.user_deactivated"}
        OutboxMessage.objects.using(SENDER).update(body=json.dumps(forged))
        wire.pump()
        assert done == []
        assert "web_bff" in DeadLetter.objects.using(RECEIVER).get().error


class TestASenderWhoseOutboxWasEmptied:
    @pytest.fixture
    def emptied(self, wire: Wire, settings: Settings) -> Cursor:
        """A receiver that has read two commands, of which the restored sender has none."""
        ask(1, 2)
        wire.pump()
        OutboxMessage.objects.using(SENDER).all().delete()
        Stream.objects.using(SENDER).all().delete()
        settings.PANGAEA = replace(settings.PANGAEA, announce_first=timedelta(microseconds=1))
        wire.relay = relay_of(SENDER, wire.batches.extend)
        wire.pump()
        return Cursor.objects.using(RECEIVER).get(audience=RECEIVER)

    def test_is_noticed_after_a_report_although_it_has_sent_no_command(self, wire: Wire, emptied: Cursor) -> None:
        for report in reports.of(RECEIVER):
            subscribers.receive(report.source, msgspec.json.encode(report), sender=RECEIVER)
        wire.pump()
        wire.pump()
        emptied.refresh_from_db()
        assert (emptied.position, emptied.head, emptied.state) == (2, 0, Cursor.State.DIVERGED)

    def test_is_noticed_after_a_request(self, wire: Wire, emptied: Cursor) -> None:
        request = emptied.request()
        assert request
        emptied.save()
        replay.receive(SENDER, msgspec.json.encode(request), sender=RECEIVER)
        wire.pump()
        emptied.refresh_from_db()
        assert (emptied.position, emptied.head, emptied.state) == (2, 0, Cursor.State.DIVERGED)


class Deactivated(Event, frozen=True, kw_only=True):
    wire_name: ClassVar[str] = "users.user_deactivated"
    number: int


gullible = Reaction("orders.gullible", begins="start")
gullible.on(Count)(count)


@gullible.on(Deactivated)
def accept(message: Received[Deactivated]) -> None:
    done.append(-message.payload.number)


def catch_up(subscription: str, *, source: str = SENDER, audience: str = RECEIVER) -> bytes:
    return msgspec.json.encode(
        CatchUp(
            subscription=subscription,
            source=source,
            audience=audience,
            partition=0,
            position=0,
            message_id=None,
        )
    )


class TestARequestToCatchUp:
    def test_is_answered_for_the_receiver(self) -> None:
        replay.receive(SENDER, catch_up("orders.counting"), sender=RECEIVER)
        assert requests() == [("orders.counting", RECEIVER)]

    @pytest.mark.parametrize("subscription", ["users.spying", "web_bff.orders", "ordersx.counting"])
    def test_of_commands_to_another_is_dropped(self, subscription: str) -> None:
        replay.receive(SENDER, catch_up(subscription))
        assert requests() == []

    def test_in_the_name_of_another_is_dropped(self) -> None:
        replay.receive(SENDER, catch_up("orders.counting"), sender=STRANGER)
        assert requests() == []

    def test_of_another_producer_is_dropped(self) -> None:
        replay.receive(SENDER, catch_up("orders.counting", source=STRANGER))
        assert requests() == []


def sent_report(subscription: str = "orders.counting", **changed: Any) -> bytes:
    report: dict[str, Any] = {"subscription": subscription, "source": SENDER, "cursors": [("all", 0, 5)]} | changed
    return msgspec.json.encode(report)


def sent_request(subscription: str = "orders.counting", **changed: Any) -> bytes:
    request: dict[str, Any] = msgspec.json.decode(catch_up(subscription)) | changed
    return msgspec.json.encode(request)


class TestWhatAModuleInvents:
    """An attacker inside a module may send anything under that module's name."""

    @pytest.mark.parametrize(
        ("receive", "rows", "body"),
        [(subscribers.receive, Subscriber, sent_report), (replay.receive, CatchUpRequest, sent_request)],
        ids=["reports", "requests"],
    )
    def test_subscriptions_are_bounded(self, receive: Any, rows: Any, body: Any) -> None:
        for number in range(200):
            receive(SENDER, body(f"orders.s{number}"), sender=RECEIVER)
        receive(SENDER, body("orders.s0"), sender=RECEIVER)
        receive(SENDER, body(f"{STRANGER}.other", **others(body)), sender=STRANGER)
        names = set(rows.objects.using(SENDER).values_list("subscription", flat=True))
        assert names == {f"orders.s{number}" for number in range(subscribers.SUBSCRIPTIONS_AT_MOST)} | {
            f"{STRANGER}.other"
        }

    @pytest.mark.parametrize(
        "changed",
        [
            {"subscription": "orders"},
            {"subscription": "orders.counting.more"},
            {"subscription": "orders.counting\n"},
            {"subscription": f"orders.{'x' * 200}"},
            {"cursors": [("all", 8, 5)]},
            {"cursors": [("all", -1, 5)]},
            {"cursors": [("all", 0, -5)]},
            {"cursors": [("all", 0, 2**70)]},
            {"cursors": [("all", 0, 5)] * 17},
        ],
        ids=str,
    )
    def test_reports_of_another_form_write_nothing(self, changed: dict[str, Any]) -> None:
        subscribers.receive(SENDER, sent_report(**changed), sender=RECEIVER)
        assert not Subscriber.objects.using(SENDER).exists()

    def test_a_report_that_names_a_stream_twice_counts_once(self) -> None:
        subscribers.receive(SENDER, sent_report(cursors=[("all", 0, 5), ("all", 0, 6)]), sender=RECEIVER)
        assert Subscriber.objects.using(SENDER).get().position == 6

    @pytest.mark.parametrize(
        "changed",
        [
            {"partition": 8},
            {"partition": -1},
            {"position": -1},
            {"position": 2**70},
            {"question": 2**70},
            {"snapshot_after": -1},
            {"message_id": "x"},
            {"subscription": "orders.counting~other"},
        ],
        ids=str,
    )
    def test_requests_of_another_form_write_nothing(self, changed: dict[str, Any]) -> None:
        replay.receive(SENDER, sent_request(**changed), sender=RECEIVER)
        assert requests() == []


def others(body: Any) -> dict[str, Any]:
    """The streams that a module may request if it is not the receiver."""
    return {"audience": "all"} if body is sent_request else {}
