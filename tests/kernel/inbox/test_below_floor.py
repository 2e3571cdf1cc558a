"""A producer that deletes history: a new projection and a rebuild begin at the floor, with a snapshot."""

from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError
from django.db import transaction
from django.utils import timezone
from structlog.testing import capture_logs

from modules.orders import commands as orders
from modules.web_bff.models import CatalogueItem
from pangaea import modules
from pangaea.change_capture import requested_snapshots
from pangaea.change_capture.models import Snapshot
from pangaea.change_capture.requested_snapshots import RequestedSnapshots
from pangaea.change_capture.snapshot import snapshot
from pangaea.databases.engines.postgresql import direct
from pangaea.inbox import reports
from pangaea.inbox.models import Cursor
from pangaea.inbox.subscriptions import Reaction
from pangaea.management.commands import rebuild as rebuild_command
from pangaea.messages import Money, Received
from pangaea.outbox import retention, subscribers
from pangaea.outbox.models import OutboxMessage, Stream, Subscriber
from pangaea.testing import published, wait_until
from pangaea.wire import CatchUp
from tests.kernel.inbox.test_resuming import Bus, command, settled
from tests.kernel.pipeline import LISTENER, SOURCE
from tests.kernel.relays import relay_of
from tests.kernel.replays import run

__all__ = ["settled"]

pytestmark = pytest.mark.django_db(databases="__all__")
committed = pytest.mark.django_db(databases="__all__", transaction=True)
"""For tests in which other connections take part."""

CATALOGUE = "web_bff.catalogue"
SKUS = [f"SKU-{number:02}" for number in range(6)]
acting = Reaction("web_bff.restocking", begins="start")
ACTED: list[str] = []


def sell(*skus: str) -> None:
    for sku in skus:
        with transaction.atomic(using=SOURCE):
            orders.add_product(sku=sku, name=f"The {sku}", description="", price=Money(500, "EUR"), stock=9)


def rename(sku: str) -> None:
    with transaction.atomic(using=SOURCE):
        orders.change_product(sku=sku, name="Another", description="", price=Money(500, "EUR"), active=True)


def prune() -> None:
    """Delete all history that every subscriber has taken."""
    for report in reports.of(LISTENER):
        if report.source == SOURCE:
            subscribers.note(SOURCE, report)
    OutboxMessage.objects.using(SOURCE).update(created_at=timezone.now() - timedelta(days=2))
    retention.prune(SOURCE)


@pytest.fixture
def bus(monkeypatch: pytest.MonkeyPatch) -> Bus:
    """Orders keeps its messages for a day; web_bff has the catalogue alone."""
    monkeypatch.setattr(type(modules.named(SOURCE)), "retention", timedelta(days=1))
    monkeypatch.setattr(modules.named(LISTENER), "subscriptions", ("modules.web_bff.handlers.catalogue",))
    return Bus([SOURCE], [LISTENER])


@pytest.fixture
def pruned(bus: Bus) -> Bus:
    """Twelve products whose first messages are deleted, and a subscription that has read them."""
    sell(*SKUS)
    bus.run()
    assert shown() == SKUS
    prune()
    assert not OutboxMessage.objects.using(SOURCE).exists()
    return bus


def shown() -> list[str]:
    return sorted(CatalogueItem.objects.values_list("sku", flat=True))


def forget_everything() -> None:
    """Let the catalogue be a new subscriber."""
    Cursor.objects.using(LISTENER).all().delete()
    CatalogueItem.objects.all().delete()


def run_until(bus: Bus, condition: Callable[[], object], *, what: str) -> None:
    def turn() -> object:
        bus.run(1)
        return condition()

    wait_until(turn, what=what)


def is_caught_up() -> bool:
    cursors = Cursor.objects.using(LISTENER).filter(subscription=CATALOGUE)
    return cursors.count() == 8 and all(
        each.began_at is None and each.position >= each.head and each.state == Cursor.State.ACTIVE for each in cursors
    )


def snapshot_messages() -> list[str]:
    return sorted(each.key for each in published(SOURCE) if each.payload.get("op") == "snapshot")


def fall_behind(bus: Bus) -> None:
    """Delete a message that the catalogue has not taken, of a stream from which it has taken others."""
    Subscriber.objects.using(SOURCE).all().delete()
    rename(SKUS[0])
    bus.relays[0].step()
    bus.batches.clear()
    for stream in Stream.objects.using(SOURCE).filter(audience="all"):
        Subscriber.objects.using(SOURCE).create(
            subscription="web_bff.other",
            audience="all",
            partition=stream.partition,
            position=stream.head,
            reported_at=timezone.now(),
        )
    OutboxMessage.objects.using(SOURCE).update(created_at=timezone.now() - timedelta(days=2))
    retention.prune(SOURCE)


class TestANewProjection:
    def test_begins_at_the_floor_with_a_snapshot(self, pruned: Bus) -> None:
        forget_everything()
        run_until(pruned, is_caught_up, what="the new subscriber")
        assert shown() == SKUS
        assert snapshot_messages() == SKUS

    def test_is_not_caught_up_before_the_snapshot(self, pruned: Bus) -> None:
        forget_everything()
        pruned.relays.clear()
        relay = relay_of(SOURCE, pruned.batches.extend)
        relay.sequence()
        for _ in range(3):
            relay.send()
            pruned.run(1)
        began = Cursor.objects.using(LISTENER).filter(subscription=CATALOGUE).exclude(began_at=None)
        assert began.exists()
        assert not is_caught_up()
        assert shown() == []

    def test_goes_on_with_what_comes(self, pruned: Bus) -> None:
        forget_everything()
        run_until(pruned, is_caught_up, what="the new subscriber")
        sell("SKU-99")
        pruned.run()
        assert shown() == [*SKUS, "SKU-99"]
        assert snapshot_messages() == SKUS

    def test_shares_the_snapshot_with_those_who_asked_for_it_too(self, pruned: Bus) -> None:
        forget_everything()
        run_until(pruned, is_caught_up, what="the new subscriber")
        forget_everything()
        run_until(pruned, is_caught_up, what="the newer subscriber")
        assert shown() == SKUS
        assert snapshot_messages() == SKUS

    def test_asks_for_another_one_when_that_is_deleted(self, pruned: Bus) -> None:
        forget_everything()
        run_until(pruned, is_caught_up, what="the new subscriber")
        prune()
        assert snapshot_messages() == []
        forget_everything()
        run_until(pruned, is_caught_up, what="the newer subscriber")
        assert shown() == SKUS

    def test_asks_again_when_its_request_was_lost(self, pruned: Bus) -> None:
        forget_everything()
        lost: list[CatchUp] = []

        def lose(requests: Sequence[CatchUp]) -> None:
            lost.extend(each for each in requests if each.snapshot_after is not None)
            pruned.ask([each for each in requests if each.snapshot_after is None])

        pruned.send = lose
        below = Stream.objects.using(SOURCE).filter(audience="all", floor__gt=0).count()
        run_until(pruned, lambda: len({each.partition for each in lost}) == below, what="requests")
        assert not snapshot_messages()
        pruned.send = pruned.ask
        run_until(pruned, is_caught_up, what="the new subscriber")
        assert shown() == SKUS


class TestARelay:
    @pytest.mark.parametrize("changed", [{"audience": LISTENER}, {"snapshot_after": 1_000}])
    def test_publishes_nothing_for_a_request_that_cannot_be(self, pruned: Bus, changed: dict[str, Any]) -> None:
        stream = Stream.objects.using(SOURCE).filter(audience="all", floor__gt=0)[0]
        fields: dict[str, Any] = {"audience": "all", "snapshot_after": stream.floor} | changed
        request = CatchUp(
            subscription=CATALOGUE,
            source=SOURCE,
            partition=stream.partition,
            position=stream.floor,
            message_id=stream.floor_id,
            **fields,
        )
        pruned.ask([request])
        pruned.run()
        assert snapshot_messages() == []

    @pytest.fixture
    def wanted(self, pruned: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(requested_snapshots, "CHUNK", 1)
        monkeypatch.setattr(requested_snapshots, "SHARE", 1)
        pruned.batches.clear()
        for stream in Stream.objects.using(SOURCE).filter(audience="all"):
            request = CatchUp(
                subscription=CATALOGUE,
                source=SOURCE,
                audience="all",
                partition=stream.partition,
                position=stream.floor,
                message_id=stream.floor_id,
                snapshot_after=stream.floor,
            )
            Stream.request_snapshot(SOURCE, request)

    @pytest.mark.usefixtures("wanted")
    def test_goes_on_where_another_one_stopped(self) -> None:
        first = RequestedSnapshots(SOURCE)
        for _ in range(5):
            assert first.step(list(Stream.objects.using(SOURCE).filter(audience="all")), all_sequenced=False)
        first.close()
        done = Snapshot.objects.using(SOURCE).get().rows
        assert 0 < done < len(SKUS)
        second = relay_of(SOURCE, lambda _batches: None)
        wait_until(lambda: not second.step() and _finished(), what="the snapshot")
        assert snapshot_messages() == SKUS

    @pytest.mark.usefixtures("wanted")
    def test_publishes_a_chunk_at_a_time_between_live_messages(self) -> None:
        carried: list[int] = []
        relay = relay_of(SOURCE, lambda batches: carried.append(len(batches)))
        for number in range(4):
            sell(f"LIVE-{number}")
            relay.step()
            assert len(snapshot_messages()) <= number + 1
        assert carried

    @committed
    @pytest.mark.usefixtures("wanted", "postgresql_only")
    def test_relays_on_while_a_writer_holds_a_key(self) -> None:
        relay = relay_of(SOURCE, lambda _batches: None)
        with closing(direct.connect(SOURCE, autocommit=False)) as writer:
            writer.execute("SELECT pangaea_lock_keys(%s::text[])", [[SKUS[0]]])
            sell("LIVE")
            relay.step()
            sell("LATER")
            relay.step()
            assert not OutboxMessage.objects.using(SOURCE).filter(position=None).exists()
            assert not set(snapshot_messages()) & set(SKUS)

    @pytest.mark.usefixtures("wanted")
    def test_relays_on_while_the_snapshot_fails(self) -> None:
        (capture,) = modules.named(SOURCE).load_captures()
        by_hand = snapshot(capture, chunk=1)
        next(by_hand)
        relay = relay_of(SOURCE, lambda _batches: None)
        sell("LIVE")
        with capture_logs() as lines:
            relay.step()
        by_hand.close()
        assert [line["event"] for line in lines if line["log_level"] == "warning"] == ["requested snapshot interrupted"]
        assert not OutboxMessage.objects.using(SOURCE).filter(position=None).exists()


def _finished() -> bool:
    streams = Stream.objects.using(SOURCE).filter(audience="all")
    return all(each.snapshot_until is not None and each.snapshot_begun is None for each in streams)


@committed
class TestARebuild:
    def test_begins_at_the_floor_with_a_snapshot(self, pruned: Bus) -> None:
        CatalogueItem.objects.filter(sku=SKUS[0]).update(name="changed")

        def answer(requests: Sequence[CatchUp]) -> None:
            pruned.ask(requests)
            pruned.run()

        printed = run(rebuild_command.Command(send=answer), CATALOGUE)
        assert "is rebuilt" in printed.stdout
        assert shown() == SKUS
        assert CatalogueItem.objects.get(sku=SKUS[0]).name == f"The {SKUS[0]}"


class TestAProjectionThatFellBehindTheFloor:
    def test_stops_and_is_rebuilt(self, pruned: Bus) -> None:
        """The deleted messages may have removed rows that it still has: no snapshot would show that."""
        fall_behind(pruned)
        pruned.run()
        (stopped,) = Cursor.objects.using(LISTENER).exclude(state=Cursor.State.ACTIVE)
        assert stopped.state == Cursor.State.BELOW_FLOOR
        with pytest.raises(CommandError, match=rf"below the floor.*manage\.py rebuild {CATALOGUE}"):
            command("--check")


class TestARuleOfTheFloor:
    """Each rule is removed once, and then its promise is broken."""

    def test_that_a_snapshot_comes_before_caught_up(self, pruned: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
        begin_at_floor = Cursor.begin_at_floor

        def rash(cursor: Cursor) -> None:
            begin_at_floor(cursor)
            cursor.began_at = None

        monkeypatch.setattr(Cursor, "begin_at_floor", rash)
        forget_everything()
        run_until(pruned, is_caught_up, what="the new subscriber")
        assert shown() == []

    def test_that_it_was_asked_for_after_the_floor(self, pruned: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
        forget_everything()
        run_until(pruned, is_caught_up, what="the new subscriber")
        prune()
        monkeypatch.setattr(Cursor, "has_snapshot", lambda _cursor, batch: batch.snapshot is not None)
        forget_everything()
        run_until(pruned, is_caught_up, what="the newer subscriber")
        assert shown() == []

    def test_that_nothing_was_taken_before(self, pruned: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Cursor, "may_begin_at_floor", True)
        fall_behind(pruned)
        CatalogueItem.objects.create(sku="removed", name="-", price_amount=1, price_currency="EUR", active=True)
        run_until(pruned, is_caught_up, what="the subscriber")
        assert "removed" in shown()


class TestAReactionBelowTheFloor:
    @pytest.fixture
    def stopped(self, pruned: Bus, monkeypatch: pytest.MonkeyPatch) -> Bus:
        from modules.web_bff.acl import ProductChanged

        ACTED.clear()
        reaction = Reaction("web_bff.restocking", begins="start")

        @reaction.on(ProductChanged)
        def act(message: Received[ProductChanged]) -> None:
            ACTED.append(message.key)

        monkeypatch.setitem(globals(), "acting", reaction)
        monkeypatch.setattr(modules.named(LISTENER), "subscriptions", (f"{__name__}.acting",))
        sell("SKU-50")
        pruned.run()
        states = Cursor.objects.using(LISTENER).filter(subscription=reaction.name).values_list("state", flat=True)
        assert Cursor.State.BELOW_FLOOR in states
        assert snapshot_messages() == []
        return pruned

    def test_begins_at_the_floor_where_an_operator_says_start(self, stopped: Bus) -> None:
        command("resume", "web_bff.restocking", "--from=start", "--yes", "--reason=it is new", bus=stopped)
        stopped.run()
        assert ACTED == ["SKU-50"]

    def test_begins_at_the_head_where_an_operator_says_so(self, stopped: Bus) -> None:
        command("resume", "web_bff.restocking", "--from=head", "--yes", "--reason=it is new", bus=stopped)
        sell("SKU-51")
        stopped.run()
        assert "SKU-51" in ACTED
        assert "SKU-50" not in ACTED or len(ACTED) == 2
