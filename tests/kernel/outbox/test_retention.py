from collections.abc import Iterator
from datetime import timedelta
from io import StringIO

import pytest
from django.core.checks import run_checks
from django.core.management import CommandError, call_command
from django.utils import timezone

from pangaea import modules
from pangaea.inbox.models import Cursor
from pangaea.outbox import retention, subscribers
from pangaea.outbox.models import CatchUpRequest, OutboxMessage, Stream, Subscriber
from pangaea.outbox.relay import partition_of
from pangaea.wire import Report
from tests.kernel.pipeline import LISTENER, SOURCE, Ledger, Wire, say

pytestmark = pytest.mark.django_db(databases=[SOURCE, LISTENER], transaction=True)

READER = "web_bff.ledger"
PARTITION = partition_of("a")


@pytest.fixture
def keeps_a_day() -> Iterator[None]:
    """Set the source's retention to a day."""
    config = type(modules.named(SOURCE))
    before, config.retention = config.retention, timedelta(days=1)
    try:
        yield
    finally:
        config.retention = before


def published_long_ago(wire: Wire, *numbers: int) -> None:
    say("a", *numbers)
    OutboxMessage.objects.using(SOURCE).filter(position=None).update(created_at=timezone.now() - timedelta(days=2))
    wire.pump()


def report(position: int, *, subscription: str = READER) -> None:
    reported = Report(subscription=subscription, source=SOURCE, cursors=[("all", PARTITION, position)])
    subscribers.note(SOURCE, reported)


def stream() -> Stream:
    return Stream.objects.using(SOURCE).get(audience="all", partition=PARTITION)


def remaining() -> list[int | None]:
    rows = OutboxMessage.objects.using(SOURCE).order_by("position")
    return list(rows.values_list("position", flat=True))


@pytest.mark.usefixtures("keeps_a_day")
class TestPruning:
    def test_stops_at_the_lowest_reported_cursor(self, wire: Wire) -> None:
        published_long_ago(wire, 1, 2, 3, 4)
        report(4)
        report(2, subscription="web_bff.other")
        assert retention.prune(SOURCE).messages == 2
        assert remaining() == [3, 4]
        assert stream().floor == 2

    def test_stops_at_the_first_message_that_is_young(self, wire: Wire) -> None:
        published_long_ago(wire, 1, 2)
        say("a", 3)
        wire.pump()
        report(3)
        retention.prune(SOURCE)
        assert remaining() == [3]

    def test_waits_while_no_subscriber_has_reported(self, wire: Wire) -> None:
        published_long_ago(wire, 1, 2)
        assert retention.prune(SOURCE).messages == 0

    def test_waits_for_a_request_that_is_being_served(self, wire: Wire) -> None:
        published_long_ago(wire, 1, 2)
        report(2)
        CatchUpRequest.objects.using(SOURCE).create(
            subscription="web_bff.newcomer", audience="all", partition=PARTITION, asked=0, position=1
        )
        retention.prune(SOURCE)
        assert remaining() == [2]

    def test_continues_where_it_stopped(self, wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(retention, "BATCH", 3)
        published_long_ago(wire, *range(8))
        report(8)
        passes = [retention.prune(SOURCE) for _ in range(4)]
        assert [each.messages for each in passes] == [3, 3, 2, 0]
        assert [each.unfinished for each in passes] == [True, True, False, False]
        assert (stream().floor, remaining()) == (8, [])

    def test_leaves_a_stream_that_continues(self, wire: Wire, ledger: Ledger) -> None:
        published_long_ago(wire, 1, 2)
        report(2)
        retention.prune(SOURCE)
        say("a", 3)
        wire.pump()
        assert ledger.numbers() == [1, 2, 3]

    def test_answers_a_request_from_the_floor(self, wire: Wire, ledger: Ledger) -> None:
        published_long_ago(wire, 1, 2)
        report(2)
        retention.prune(SOURCE)
        say("a", 3)
        wire.relay.step()
        wire.batches.clear()  # lost
        say("a", 4)
        wire.pump()
        assert ledger.numbers() == [1, 2, 3, 4]

    def test_lets_a_new_subscriber_begin_at_the_floor_and_wait_for_a_snapshot(self, wire: Wire, ledger: Ledger) -> None:
        published_long_ago(wire, 1, 2)
        report(2)
        retention.prune(SOURCE)
        Cursor.objects.using(LISTENER).update(position=0, message_id=None)
        say("a", 3)
        wire.relay.step()
        wire.deliver_all()
        wire.answer()
        wire.relay.send()
        wire.deliver_all()
        cursor = Cursor.objects.using(LISTENER).get(partition=PARTITION)
        assert (cursor.position, cursor.began_at, cursor.state) == (2, 2, Cursor.State.ACTIVE)
        (request,) = wire.requests
        assert (request.position, request.snapshot_after) == (2, 2)

    def test_is_a_command_too(self, wire: Wire) -> None:
        published_long_ago(wire, 1, 2)
        report(2)
        report(0, subscription="web_bff.ended")
        printed = StringIO()
        call_command("prune", "--module", SOURCE, "--forget", "web_bff.ended", stdout=printed)
        assert printed.getvalue().startswith(f"{SOURCE}: 2 messages, 0 discarded letters, ")
        with pytest.raises(CommandError, match=r"web_bff\.ended has not reported"):
            call_command("prune", "--module", SOURCE, "--forget", "web_bff.ended")


class TestKeepingForEver:
    def test_is_the_default_of_a_module(self, wire: Wire) -> None:
        published_long_ago(wire, 1, 2)
        report(2)
        retention.prune(SOURCE)
        assert remaining() == [1, 2]


class TestDeclaringIt:
    @pytest.mark.parametrize("retention", [timedelta(days=1), timedelta(0)])
    def test_is_refused_where_no_snapshot_can_replace_deleted_messages(
        self, retention: timedelta, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        config = type(modules.named(LISTENER))
        monkeypatch.setattr(config, "retention", retention)
        monkeypatch.setattr(config, "captures", ())
        assert "pangaea.E012" in {error.id for error in run_checks(tags=["pangaea"])}


class TestAReport:
    def test_replaces_the_last_one_also_by_a_lower_position(self) -> None:
        report(7)
        report(3)
        assert Subscriber.objects.using(SOURCE).get().position == 3

    @pytest.mark.parametrize(
        ("body", "sender"),
        [
            (b"{", "web_bff"),
            (b'{"more":' + b"[" * 5_000, "web_bff"),
            (b'{"subscription":"web_bff.x","source":"users","cursors":[["all",0,1]]}', "web_bff"),
            (b'{"subscription":"web_bff.x","source":"orders","cursors":[["users",0,1]]}', "web_bff"),
            (b'{"subscription":"web_bff.x","source":"orders","cursors":[["all",0,1]]}', "users"),
        ],
        ids=["malformed", "nested too deeply", "of another module", "of another's stream", "by another module"],
    )
    def test_is_dropped_when_it_is(self, body: bytes, sender: str) -> None:
        subscribers.receive(SOURCE, body, sender=sender)
        assert not Subscriber.objects.using(SOURCE).exists()
