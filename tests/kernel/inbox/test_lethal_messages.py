"""A message that ends its process again and again is found, wherever it stands, and nothing else is parked for it."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import connections
from django.utils import timezone
from pytest_django import Settings

from pangaea.inbox import in_flight, retries, selection
from pangaea.inbox.models import Attempt
from pangaea.inbox.selection import Selection
from pangaea.inbox.subscriptions import Projection
from pangaea.messages import Received
from tests.kernel.parked import NEIGHBOUR, letters, summary
from tests.kernel.pipeline import LISTENER, SOURCE, Ledger, Tick, Wire, ledger_table, say

pytestmark = pytest.mark.django_db(databases=[SOURCE, LISTENER], transaction=True)


class Death(BaseException):
    """The process ends here: nothing in the code may catch it."""


class LethalLedger(Ledger):
    """Ends its process at what is lethal, and hangs at what hangs, until its parent ends the process."""

    def __init__(self) -> None:
        super().__init__()
        self.lethal: set[int] = set()
        self.hanging: set[int] = set()

    def _write(self, message: Received[Tick]) -> None:
        super()._write(message)
        if message.payload.number in self.lethal:
            raise Death
        if message.payload.number in self.hanging:
            in_flight.note_ended()
            in_flight.inherit()  # before this process ends: one that is killed writes nothing more
            raise Death


class LethalBatchLedger(LethalLedger):
    """The same, with a handler for many messages at once."""

    def __init__(self) -> None:
        super().__init__()
        self.subscription = Projection("web_bff.ledger")
        self.subscription.on_batch(Tick)(self._write_all)

    def _write_all(self, messages: Sequence[Received[Tick]]) -> None:
        for message in messages:
            self._write(message)


@pytest.fixture
def ledger() -> Iterator[LethalLedger]:
    with ledger_table():
        yield LethalLedger()


class Worker:
    """A worker that is started anew whenever it dies. The broker keeps what was not acknowledged, as it does."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.deaths = 0

    def work(self, *, lives: int = 20) -> None:
        """Until nothing is left, or so many lives are over."""
        while self.wire.relay.step():
            pass
        while self.wire.batches and lives:
            try:
                self.wire.deliver(self.wire.batches[0])
            except Death:
                self.deaths += 1
                lives -= 1
                connections[LISTENER].close()
            else:
                self.wire.batches.pop(0)

    def retry(self, *, days: int) -> None:
        """Let the worker's timer come once a day."""
        subscription = self.wire.ledger.subscription
        for day in range(1, days + 1):
            try:
                retries.retry(LISTENER, {subscription.name: subscription}, now=timezone.now() + timedelta(days=day))
            except Death:
                self.deaths += 1
                connections[LISTENER].close()


@pytest.fixture
def worker(wire: Wire) -> Worker:
    return Worker(wire)


class TestALethalMessage:
    def test_is_parked_and_its_neighbours_are_applied_once(self, ledger: LethalLedger, worker: Worker) -> None:
        ledger.lethal = {3}
        say(NEIGHBOUR, 1, 2)
        say("a", 3, 4)
        say(NEIGHBOUR, 5)
        worker.work()

        assert ledger.numbers() == [1, 2, 5]
        assert [row[2:] for row in summary()] == [("retrying", 1), ("behind", 0)]
        assert (letters()[0].deaths, "alone" in letters()[0].error) == (1, True)
        assert worker.deaths == 4

    def test_is_dead_after_three_more_crashes(self, ledger: LethalLedger, worker: Worker) -> None:
        ledger.lethal = {3}
        say("a", 3, 4)
        worker.work()
        worker.retry(days=9)

        assert worker.deaths == 4 + 3
        assert [row[2:] for row in summary()] == [("dead", 4), ("behind", 0)]
        assert "ended 4 times" in letters()[0].error

    def test_that_is_redriven_by_an_operator_crashes_once_more_and_is_dead(
        self, ledger: LethalLedger, worker: Worker
    ) -> None:
        ledger.lethal = {3}
        say("a", 3)
        worker.work()
        worker.retry(days=9)
        selection.ask_for_redrive(Selection(module=LISTENER, key="a"))
        worker.retry(days=9)

        assert worker.deaths == 4 + 3 + 1
        assert [row[2:] for row in summary()] == [("dead", 5)]

    def test_is_applied_soon_where_the_processes_ended_of_something_else(
        self, ledger: LethalLedger, worker: Worker
    ) -> None:
        ledger.lethal = {3, 5}
        say("a", 3)
        say(NEIGHBOUR, 5, 6)
        worker.work()
        assert sorted(row[2] for row in summary()) == ["behind", "retrying", "retrying"]
        ledger.lethal = set()
        worker.retry(days=1)

        assert sorted(ledger.numbers()) == [3, 5, 6]
        assert letters() == []

    def test_does_not_hide_another(self, ledger: LethalLedger, worker: Worker) -> None:
        ledger.lethal = {1, 3}
        say("a", 1)
        say(NEIGHBOUR, 2, 3, 4)
        worker.work()

        assert ledger.numbers() == [2]
        assert [(row[0], row[2]) for row in sorted(summary(), key=lambda row: row[1])] == [
            ("a", "retrying"),
            (NEIGHBOUR, "retrying"),
            (NEIGHBOUR, "behind"),
        ]
        assert worker.deaths == 5

    def test_is_applied_where_the_process_died_of_something_else(self, ledger: LethalLedger, worker: Worker) -> None:
        ledger.lethal = {3}
        say("a", 1, 2, 3)
        worker.work(lives=3)
        ledger.lethal = set()
        worker.work()

        assert ledger.numbers() == [1, 2, 3]
        assert letters() == []

    def test_of_any_number_of_failures_that_it_survived_is_innocent(
        self, wire: Wire, ledger: LethalLedger, settings: Settings
    ) -> None:
        settings.PANGAEA = replace(settings.PANGAEA, deaths_at_most=1)
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
        self, ledger: LethalLedger, worker: Worker, settings: Settings
    ) -> None:
        settings.PANGAEA = replace(settings.PANGAEA, relay_batch=1)
        ledger.lethal = {4}
        say("a", 1, 2, 3, 4)
        say(NEIGHBOUR, 5)
        worker.work()

        assert ledger.numbers() == [1, 2, 3, 5]
        assert [row[2] for row in summary()] == ["retrying"]
        assert worker.deaths == 4

    def test_that_died_elsewhere_on_the_way_is_counted_anew(
        self, ledger: LethalLedger, worker: Worker, settings: Settings
    ) -> None:
        settings.PANGAEA = replace(settings.PANGAEA, relay_batch=1)
        say("a", *range(1, 7))
        for lethal in (2, 4, 6):
            ledger.lethal = {lethal}
            worker.work(lives=2)
            assert Attempt.objects.using(LISTENER).get().number == 2
            ledger.lethal = set()
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
    def test_is_parked_at_once_with_its_crash_counted(self, ledger: LethalLedger, worker: Worker) -> None:
        ledger.hanging = {3}
        say(NEIGHBOUR, 1, 2)
        say("a", 3, 4)
        say(NEIGHBOUR, 5)
        worker.work()

        assert ledger.numbers() == [1, 2, 5]
        assert worker.deaths == 1
        assert [row[2:] for row in summary()] == [("retrying", 1), ("behind", 0)]
        assert letters()[0].deaths == 1
        assert "did not return within" in letters()[0].error

    def test_among_others_of_one_call_is_looked_for_one_by_one(self, wire: Wire) -> None:
        ledger = wire.ledger = LethalBatchLedger()
        ledger.hanging = {3}
        say("a", 1, 2)
        say(NEIGHBOUR, 3)
        say("a", 4)
        worker = Worker(wire)
        worker.work()

        assert ledger.numbers() == [1, 2, 4]
        assert worker.deaths == 2
        assert [row[2:] for row in summary()] == [("retrying", 1)]


class TestWritingDown:
    def test_is_done_once_for_batches_that_follow_one_another(
        self, wire: Wire, ledger: LethalLedger, settings: Settings
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

    def test_costs_one_statement_a_batch_and_none_for_what_is_known(self, wire: Wire, ledger: LethalLedger) -> None:
        say("a", 1)
        while wire.relay.step():
            pass
        (batch,) = wire.batches
        wire.deliver(batch)
        first = Attempt.objects.using(LISTENER).get()
        wire.deliver(batch)

        assert Attempt.objects.using(LISTENER).get().token == first.token
        assert ledger.numbers() == [1]
