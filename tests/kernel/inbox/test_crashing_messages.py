"""A message that crashes its process repeatedly is found, wherever it is, and no other message is parked."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import connections
from django.utils import timezone
from pytest_django import Settings

from pangaea.inbox import in_flight
from pangaea.inbox.dead_letters import redrive
from pangaea.inbox.dead_letters.selection import Selection
from pangaea.inbox.models import Attempt
from pangaea.inbox.subscriptions import Projection
from pangaea.messages import Received
from tests.kernel.parked import NEIGHBOUR, letters, summary
from tests.kernel.pipeline import LISTENER, SOURCE, Ledger, Tick, Wire, ledger_table, say

pytestmark = pytest.mark.django_db(databases=[SOURCE, LISTENER], transaction=True)


class Crash(BaseException):
    """The process ends here: nothing in the code may catch it."""


class CrashingLedger(Ledger):
    """Crashes its process at some numbers, and hangs at others until its parent ends the process."""

    def __init__(self) -> None:
        super().__init__()
        self.crashing: set[int] = set()
        self.hanging: set[int] = set()

    def _write(self, message: Received[Tick]) -> None:
        super()._write(message)
        if message.payload.number in self.crashing:
            raise Crash
        if message.payload.number in self.hanging:
            in_flight.note_ended()
            in_flight.inherit()  # before this process ends: a killed process writes nothing
            raise Crash


class CrashingBatchLedger(CrashingLedger):
    """The same, with a handler for many messages at once."""

    def __init__(self) -> None:
        super().__init__()
        self.subscription = Projection("web_bff.ledger")
        self.subscription.on_batch(Tick)(self._write_all)

    def _write_all(self, messages: Sequence[Received[Tick]]) -> None:
        for message in messages:
            self._write(message)


@pytest.fixture
def ledger() -> Iterator[CrashingLedger]:
    with ledger_table():
        yield CrashingLedger()


class Worker:
    """A worker that is restarted whenever it crashes. The broker keeps what was not acknowledged."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.crashes = 0

    def work(self, *, crashes: int = 20) -> None:
        """Work until nothing is left, or the worker has crashed this often."""
        while self.wire.relay.step():
            pass
        while self.wire.batches and crashes:
            try:
                self.wire.deliver(self.wire.batches[0])
            except Crash:
                self.crashes += 1
                crashes -= 1
                connections[LISTENER].close()
            else:
                self.wire.batches.pop(0)

    def retry(self, *, days: int) -> None:
        """Run a round of the worker's timer once per day."""
        subscription = self.wire.ledger.subscription
        for day in range(1, days + 1):
            try:
                redrive.retry_due(LISTENER, [subscription], now=timezone.now() + timedelta(days=day))
            except Crash:
                self.crashes += 1
                connections[LISTENER].close()


@pytest.fixture
def worker(wire: Wire) -> Worker:
    return Worker(wire)


class TestACrashingMessage:
    def test_is_parked_and_its_neighbours_are_applied_once(self, ledger: CrashingLedger, worker: Worker) -> None:
        ledger.crashing = {3}
        say(NEIGHBOUR, 1, 2)
        say("a", 3, 4)
        say(NEIGHBOUR, 5)
        worker.work()

        assert ledger.numbers() == [1, 2, 5]
        assert [row[2:] for row in summary()] == [("retrying", 1), ("behind", 0)]
        assert (letters()[0].crashes, "alone" in letters()[0].error) == (1, True)
        assert worker.crashes == 4

    def test_is_dead_after_three_more_crashes(self, ledger: CrashingLedger, worker: Worker) -> None:
        ledger.crashing = {3}
        say("a", 3, 4)
        worker.work()
        worker.retry(days=9)

        assert worker.crashes == 4 + 3
        assert [row[2:] for row in summary()] == [("dead", 4), ("behind", 0)]
        assert "ended 4 times" in letters()[0].error

    def test_that_is_redriven_by_an_operator_crashes_once_more_and_is_dead(
        self, ledger: CrashingLedger, worker: Worker
    ) -> None:
        ledger.crashing = {3}
        say("a", 3)
        worker.work()
        worker.retry(days=9)
        redrive.request(Selection(module=LISTENER, key="a"))
        worker.retry(days=9)

        assert worker.crashes == 4 + 3 + 1
        assert [row[2:] for row in summary()] == [("dead", 5)]

    def test_is_applied_soon_where_something_else_ended_the_processes(
        self, ledger: CrashingLedger, worker: Worker
    ) -> None:
        ledger.crashing = {3, 5}
        say("a", 3)
        say(NEIGHBOUR, 5, 6)
        worker.work()
        assert sorted(row[2] for row in summary()) == ["behind", "retrying", "retrying"]
        ledger.crashing = set()
        worker.retry(days=1)

        assert sorted(ledger.numbers()) == [3, 5, 6]
        assert letters() == []

    def test_does_not_hide_another(self, ledger: CrashingLedger, worker: Worker) -> None:
        ledger.crashing = {1, 3}
        say("a", 1)
        say(NEIGHBOUR, 2, 3, 4)
        worker.work()

        assert ledger.numbers() == [2]
        assert [(row[0], row[2]) for row in sorted(summary(), key=lambda row: row[1])] == [
            ("a", "retrying"),
            (NEIGHBOUR, "retrying"),
            (NEIGHBOUR, "behind"),
        ]
        assert worker.crashes == 5

    def test_is_applied_where_something_else_ended_the_process(self, ledger: CrashingLedger, worker: Worker) -> None:
        ledger.crashing = {3}
        say("a", 1, 2, 3)
        worker.work(crashes=3)
        ledger.crashing = set()
        worker.work()

        assert ledger.numbers() == [1, 2, 3]
        assert letters() == []

    def test_of_any_number_of_failures_that_it_survived_is_innocent(
        self, wire: Wire, ledger: CrashingLedger, settings: Settings
    ) -> None:
        settings.PANGAEA = replace(settings.PANGAEA, crashes_at_most=1)
        say("a", 1, 2)
        while wire.relay.step():
            pass
        (batch,) = wire.batches
        with connections[LISTENER].cursor() as cursor:
            cursor.execute("ALTER TABLE pangaea_dead_letter RENAME TO hidden")
        for _ in range(4):
            with pytest.raises(Exception, match="pangaea_dead_letter"):
                wire.deliver(batch)
        with connections[LISTENER].cursor() as cursor:
            cursor.execute("ALTER TABLE hidden RENAME TO pangaea_dead_letter")
        assert Attempt.objects.using(LISTENER).get().number == 1
        wire.pump()
        assert ledger.numbers() == [1, 2]

    def test_is_found_behind_batches_for_which_nothing_was_written(
        self, ledger: CrashingLedger, worker: Worker, settings: Settings
    ) -> None:
        settings.PANGAEA = replace(settings.PANGAEA, relay_batch=1)
        ledger.crashing = {4}
        say("a", 1, 2, 3, 4)
        say(NEIGHBOUR, 5)
        worker.work()

        assert ledger.numbers() == [1, 2, 3, 5]
        assert [row[2] for row in summary()] == ["retrying"]
        assert worker.crashes == 4

    def test_that_crashed_elsewhere_on_the_way_is_counted_from_one(
        self, ledger: CrashingLedger, worker: Worker, settings: Settings
    ) -> None:
        settings.PANGAEA = replace(settings.PANGAEA, relay_batch=1)
        say("a", *range(1, 7))
        for number in (2, 4, 6):
            ledger.crashing = {number}
            worker.work(crashes=2)
            assert Attempt.objects.using(LISTENER).get().number == 2
            ledger.crashing = set()
        worker.work()

        assert ledger.numbers() == [1, 2, 3, 4, 5, 6]
        assert letters() == []


@pytest.fixture
def _watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_flight, "_page", None)
    monkeypatch.setattr(in_flight, "_hung", None)
    in_flight.share()


@pytest.mark.usefixtures("_watched")
class TestAMessageWhoseHandlerHangs:
    def test_is_parked_at_once_with_its_crash_counted(self, ledger: CrashingLedger, worker: Worker) -> None:
        ledger.hanging = {3}
        say(NEIGHBOUR, 1, 2)
        say("a", 3, 4)
        say(NEIGHBOUR, 5)
        worker.work()

        assert ledger.numbers() == [1, 2, 5]
        assert worker.crashes == 1
        assert [row[2:] for row in summary()] == [("retrying", 1), ("behind", 0)]
        assert letters()[0].crashes == 1
        assert "did not return within" in letters()[0].error

    def test_among_others_of_one_call_is_looked_for_one_by_one(self, wire: Wire) -> None:
        ledger = wire.ledger = CrashingBatchLedger()
        ledger.hanging = {3}
        say("a", 1, 2)
        say(NEIGHBOUR, 3)
        say("a", 4)
        worker = Worker(wire)
        worker.work()

        assert ledger.numbers() == [1, 2, 4]
        assert worker.crashes == 2
        assert [row[2:] for row in summary()] == [("retrying", 1)]


class TestWritingDown:
    def test_is_done_once_for_batches_that_follow_one_another(
        self, wire: Wire, ledger: CrashingLedger, settings: Settings
    ) -> None:
        settings.PANGAEA = replace(settings.PANGAEA, relay_batch=1)
        say("a", 1, 2, 3)
        while wire.relay.step():
            pass
        tokens = set()
        for batch in wire.batches:
            wire.deliver(batch)
            tokens.add(Attempt.objects.using(LISTENER).get().token)

        assert ledger.numbers() == [1, 2, 3]
        assert len(tokens) == 1

    def test_costs_one_statement_a_batch_and_none_for_what_is_known(self, wire: Wire, ledger: CrashingLedger) -> None:
        say("a", 1)
        while wire.relay.step():
            pass
        (batch,) = wire.batches
        wire.deliver(batch)
        first = Attempt.objects.using(LISTENER).get()
        wire.deliver(batch)

        assert Attempt.objects.using(LISTENER).get().token == first.token
        assert ledger.numbers() == [1]
