"""The relay's loop: on the real engine, with a sender that the test controls."""

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
import structlog
from django.db.models import Sum
from pytest_django import Settings

from pangaea.backoff import Backoff
from pangaea.databases import engines
from pangaea.errors import RefusedByBroker
from pangaea.outbox import refusals
from pangaea.outbox.batches import Outgoing
from pangaea.outbox.models import CatchUpRequest, OutboxMessage, Stream
from pangaea.outbox.relay import Relay, partition_of
from pangaea.telemetry.components import Component, State
from pangaea.testing import wait_until
from tests.kernel.pipeline import LISTENER, SOURCE, Wire, say

pytestmark = pytest.mark.django_db(databases=[SOURCE, LISTENER], transaction=True)


OTHER = next(key for key in map(str, range(99)) if partition_of(key) != partition_of("a"))
"""A key of another stream than "a"."""


class Broker:
    """Accepts batches unless it is down, or refuses their routing keys."""

    def __init__(self) -> None:
        self.batches: list[Outgoing] = []
        self.is_down = False
        self.attempts = 0
        self.refused = ""
        self.refusals = 0

    def carry(self, batches: Sequence[Outgoing]) -> None:
        self.attempts += 1
        if self.is_down:
            raise ConnectionError("the broker is down")
        if self.refused and any(batch.routing_key.startswith(self.refused) for batch in batches):
            self.refusals += 1
            raise RefusedByBroker("message size 17000000 is larger than configured max size 16777216")
        self.batches += batches


@contextmanager
def running(broker: Broker, component: Component) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=Relay(SOURCE, broker.carry, component).run, args=[stop])
    thread.start()
    try:
        yield
    finally:
        stop.set()
        engines.of(SOURCE).wake(SOURCE)
        thread.join(10)
        assert not thread.is_alive()


def write_by_hand() -> None:
    """Insert a row without a notification to any relay (on PostgreSQL)."""
    OutboxMessage.objects.using(SOURCE).create(
        message_id=uuid4(), audience="all", key="a", name="orders.tick", body="{}"
    )


def sent() -> int:
    return int(Stream.objects.using(SOURCE).aggregate(sum=Sum("sent"))["sum"] or 0)


class TestARelay:
    def test_passes_on_a_body_that_it_cannot_read(self) -> None:
        body = '{"no json": \u00e9, [}'
        OutboxMessage.objects.using(SOURCE).create(
            message_id=uuid4(), audience="all", key="a", name="orders.tick", body=body
        )
        broker = Broker()
        Relay(SOURCE, broker.carry).step()
        (batch,) = broker.batches
        assert batch.body.endswith(b'"messages":[' + body.encode() + b"]}")
        with pytest.raises(ValueError, match="Expecting"):
            json.loads(batch.body)

    def test_sends_no_batch_that_a_broker_would_refuse(self) -> None:
        table = OutboxMessage.objects.using(SOURCE)
        body = json.dumps("x" * 1_000_000)
        for _ in range(6):
            table.create(message_id=uuid4(), audience="all", key="a", name="orders.tick", body=body)
        broker = Broker()
        relay = Relay(SOURCE, broker.carry)
        while relay.step():
            pass
        assert [len(json.loads(batch.body)["messages"]) for batch in broker.batches] == [4, 2]
        assert sent() == 6

    def test_finds_a_row_of_which_it_was_not_notified(self, settings: Settings) -> None:
        settings.PANGAEA = replace(settings.PANGAEA, relay_poll=timedelta(seconds=0.2))
        broker, component = Broker(), Component(SOURCE)
        with running(broker, component):
            wait_until(lambda: component.state is State.LEADING, what="the relay to lead")
            write_by_hand()
            wait_until(lambda: sent() == 1, what="the relay to have looked")

    def test_looks_again_soon_after_it_sent(self, settings: Settings) -> None:
        settings.PANGAEA = replace(settings.PANGAEA, relay_poll=timedelta(hours=1))
        broker, component = Broker(), Component(SOURCE)
        with running(broker, component):
            wait_until(lambda: component.state is State.LEADING, what="the relay to lead")
            say("a", 1)
            wait_until(lambda: sent() == 1, what="the relay to have been woken")
            write_by_hand()
            wait_until(lambda: sent() == 2, what="the relay to have looked")

    def test_keeps_the_backlog_while_the_broker_is_down_and_logs_it_once(self) -> None:
        broker, component = Broker(), Component(SOURCE)
        broker.is_down = True
        say("a", 1, 2, 3)
        with structlog.testing.capture_logs() as logs:
            with running(broker, component):
                wait_until(lambda: broker.attempts >= 4, what="several attempts")
                assert (component.state, sent()) == (State.INTERRUPTED, 0)
                assert "broker is down" in component.as_dict()["reason"]
                broker.is_down = False
                wait_until(lambda: sent() == 3, what="the relay to have resumed")
                wait_until(lambda: component.state is State.LEADING, what="the relay to lead")
            assert events(logs) == ["relay interrupted", "relay became leader"]

    def test_stands_by_while_another_leads(self, postgresql_only: None) -> None:
        first, second = Component("first"), Component("second")
        with running(Broker(), first):
            wait_until(lambda: first.state is State.LEADING, what="the first to lead")
            with running(Broker(), second):
                wait_until(lambda: second.state is State.STANDING_BY, what="the second to stand by")

    def test_repeats_an_announcement_that_failed(self, settings: Settings) -> None:
        settings.PANGAEA = replace(settings.PANGAEA, announce_first=timedelta(microseconds=1))
        broker = Broker()
        relay = Relay(SOURCE, broker.carry)
        relay.sequence()
        relay.send()  # from here on every stream is due
        broker.is_down = True
        with pytest.raises(ConnectionError):
            relay.send()
        broker.is_down, broker.batches = False, []
        relay.send()
        assert len(broker.batches) == 8


class TestAStreamThatTheBrokerRefuses:
    @pytest.fixture
    def refusing(self) -> Broker:
        broker = Broker()
        broker.refused = f"{SOURCE}.all.{partition_of('a')}"
        return broker

    def test_does_not_hold_up_the_others_and_is_named(self, refusing: Broker) -> None:
        relay = Relay(SOURCE, refusing.carry)
        say("a", 1)
        say(OTHER, 2)
        with structlog.testing.capture_logs() as logs:
            while relay.step():
                pass
        streams = {stream.partition: stream.sent for stream in Stream.objects.using(SOURCE).filter(head=1)}
        assert streams == {partition_of("a"): 0, partition_of(OTHER): 1}
        assert [each["stream"] for each in logs if each["log_level"] == "error"] == [refusing.refused]

    def test_waits_longer_each_time_and_alone(self, refusing: Broker) -> None:
        relay = Relay(SOURCE, refusing.carry)
        say("a", 1)
        relay.step()
        for number in range(3):
            refusals = refusing.refusals
            say(OTHER, number)
            relay.step()
            assert refusing.refusals == refusals
        assert sent() == 3

    def test_keeps_the_requests_for_it(self, refusing: Broker, wire: Wire) -> None:
        say("a", 1)
        say(OTHER, 1)
        wire.pump()
        for partition in (partition_of("a"), partition_of(OTHER)):
            CatchUpRequest.objects.using(SOURCE).create(
                subscription=f"{LISTENER}.ledger", audience="all", partition=partition, asked=0, position=0
            )
        refusing.refused = f"{SOURCE}.{LISTENER}.{partition_of('a')}"
        relay = Relay(SOURCE, refusing.carry)
        while relay.step():
            pass
        assert [each.partition for each in CatchUpRequest.objects.using(SOURCE).all()] == [partition_of("a")]

    def test_is_sent_once_it_is_taken(self, refusing: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(refusals, "REFUSED", Backoff(first=0.0, longest=0.0))
        relay = Relay(SOURCE, refusing.carry)
        say("a", 1)
        relay.step()
        refusing.refused = ""
        relay.step()
        assert sent() == 1

    def test_is_no_other_thing_than_a_broker_that_takes_nothing(self, refusing: Broker) -> None:
        refusing.refused = SOURCE
        say("a", 1)
        say(OTHER, 2)
        with pytest.raises(RefusedByBroker):
            Relay(SOURCE, refusing.carry).step()
        assert sent() == 0


class TestAnsweringARequest:
    @pytest.fixture
    def long_ago(self, wire: Wire, settings: Settings) -> Any:
        """A stream of twelve batches that were sent, and a request for all of them."""
        settings.PANGAEA = replace(settings.PANGAEA, relay_batch=2)
        say("a", *range(24))
        while wire.relay.step():
            pass
        wire.batches.clear()
        return CatchUpRequest.objects.using(SOURCE).create(
            subscription="web_bff.ledger", audience="all", partition=partition_of("a"), asked=0, position=0
        )

    def test_takes_one_pass_while_nothing_else_is_to_be_sent(self, wire: Wire, long_ago: CatchUpRequest) -> None:
        wire.relay.step()
        assert len(answers(wire)) == 12
        assert not CatchUpRequest.objects.using(SOURCE).exists()

    def test_takes_turns_with_live_messages(self, wire: Wire, long_ago: CatchUpRequest) -> None:
        say("a", 24, 25)
        wire.relay.step()
        assert len(answers(wire)) == 1
        assert CatchUpRequest.objects.using(SOURCE).get().position == 2


class TestALongAnswer:
    @pytest.mark.parametrize("bound", ["batches", "bytes"])
    def test_comes_in_parts_that_are_asked_for_at_once(self, wire: Wire, settings: Settings, bound: str) -> None:
        settings.PANGAEA = replace(settings.PANGAEA, relay_batch=2, catch_up_renewal=timedelta(hours=1))
        say("a", *range(24))
        while wire.relay.step():
            pass
        # Room for two batches of each of eight partitions, in half of the queue.
        room = {"queue_length": 32} if bound == "batches" else {"queue_bytes": 32 * len(wire.batches[-1].body)}
        settings.PANGAEA = replace(settings.PANGAEA, **room)
        wire.batches.clear()
        say("a", 24)
        wire.relay.step()
        asked = []
        while wire.relay.step() or wire.batches or wire.requests:
            wire.deliver_all()
            asked += [request.position for request in wire.requests]
            wire.answer()
        assert wire.ledger.numbers() == list(range(25))
        assert asked == [0, 4, 8, 12, 16, 20, 24]

    def test_that_is_lost_is_not_asked_for_as_fast_as_it_is_lost(self, wire: Wire, settings: Settings) -> None:
        settings.PANGAEA = replace(
            settings.PANGAEA, relay_batch=2, queue_length=16, catch_up_renewal=timedelta(hours=1)
        )
        say("a", *range(8))
        while wire.relay.step():
            pass
        lost, wire.batches[:] = wire.batches[:-1], wire.batches[-1:]
        assert lost
        wire.deliver_all()
        wire.answer()
        wire.relay.step()
        wire.batches[:] = answers(wire)[1:]  # the first part is lost, the announcement at its end arrives
        wire.deliver_all()
        assert wire.requests == []


def answers(wire: Wire) -> list[Outgoing]:
    return [batch for batch in wire.batches if batch.routing_key.startswith(f"{SOURCE}.{LISTENER}.")]


def events(logs: Sequence[Any]) -> list[str]:
    return [line["event"] for line in logs if line["event"].startswith("relay")]
