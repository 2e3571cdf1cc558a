"""Parked messages are retried, given up, redriven and discarded, always in the order of their key."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import connections, transaction
from django.utils import timezone
from pytest_django import Settings
from structlog.testing import capture_logs

from pangaea.errors import Invalid
from pangaea.inbox.dead_letters import discarding, parking, redrive
from pangaea.inbox.dead_letters.key_queue import KeyQueue
from pangaea.inbox.dead_letters.selection import Selection
from pangaea.inbox.models import Cursor, DeadLetter, DiscardedLetter
from tests.kernel.parked import NEIGHBOUR, declared, letters, retry, summary
from tests.kernel.pipeline import LISTENER, SOURCE, Ledger, Wire, ledger_table, say

pytestmark = pytest.mark.django_db(databases=[SOURCE, LISTENER], transaction=True)


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    with ledger_table(), declared() as ledger:
        yield ledger


def only() -> DeadLetter:
    """The only letter."""
    (letter,) = letters()
    return letter


class TestARetry:
    def test_comes_after_a_pause_and_not_before(self, wire: Wire, ledger: Ledger) -> None:
        ledger.poison = {1}
        say("a", 1)
        wire.pump()
        letter = only()
        assert letter.next_attempt_at is not None
        ledger.poison.clear()

        assert retry(now=letter.next_attempt_at - timedelta(milliseconds=1)) == 0
        assert ledger.numbers() == []
        assert retry(now=letter.next_attempt_at) == 1
        assert ledger.numbers() == [1]
        assert letters() == []

    def test_counts_its_attempts_and_keeps_the_last_error(self, wire: Wire, ledger: Ledger) -> None:
        ledger.poison = {1}
        say("a", 1)
        wire.pump()
        first = only()
        moment = timezone.now() + timedelta(days=1)
        DeadLetter.objects.using(LISTENER).update(error="another", traceback="")

        assert retry(now=moment) == 0
        letter = only()
        assert (letter.attempts, letter.crashes, letter.state) == (2, 0, "retrying")
        assert first.next_attempt_at
        assert letter.next_attempt_at
        assert letter.next_attempt_at > moment > first.next_attempt_at
        assert "poison 1" in letter.error
        assert "Traceback" in letter.traceback
        assert ledger.numbers() == []

    def test_lets_those_behind_follow_at_once_and_in_order(self, wire: Wire, ledger: Ledger) -> None:
        ledger.poison = {1}
        say("a", 1, 2, 3)
        wire.pump()
        assert summary() == [("a", 1, "retrying", 1), ("a", 2, "behind", 0), ("a", 3, "behind", 0)]
        ledger.poison.clear()

        assert retry(now=timezone.now() + timedelta(days=1)) == 3
        assert ledger.numbers() == [1, 2, 3]

    def test_stops_at_the_next_that_fails(self, wire: Wire, ledger: Ledger) -> None:
        ledger.poison = {1}
        say("a", 1, 2, 3)
        wire.pump()
        ledger.poison = {2}

        assert retry(now=timezone.now() + timedelta(days=1)) == 1
        assert summary() == [("a", 2, "retrying", 1), ("a", 3, "behind", 0)]

    def test_happens_once_when_two_find_the_same_letter_due(self, wire: Wire, ledger: Ledger) -> None:
        ledger.poison = {1}
        say("a", 1)
        wire.pump()
        seen = only()
        moment = timezone.now() + timedelta(days=1)
        retry(now=moment)

        assert not redrive.attempt(ledger.subscription, seen, now=moment, is_automatic=True)
        assert only().attempts == 2

    def test_is_given_up_at_the_limit(self, wire: Wire, ledger: Ledger, settings: Settings) -> None:
        settings.PANGAEA = replace(settings.PANGAEA, dead_letter_attempts=3)
        ledger.poison = {1}
        say("a", 1, 2)
        wire.pump()
        for day in (1, 2, 3, 4):
            retry(now=timezone.now() + timedelta(days=day))

        assert summary() == [("a", 1, "dead", 3), ("a", 2, "behind", 0)]
        assert letters()[0].next_attempt_at is None
        say("a", 3)
        wire.pump()
        assert summary()[-1] == ("a", 3, "behind", 0)

    def test_that_crashes_its_process_again_and_again_is_given_up(self, wire: Wire, ledger: Ledger) -> None:
        ledger.poison = {1}
        say("a", 1)
        wire.pump()
        DeadLetter.objects.using(LISTENER).update(crashes=4)

        retry(now=timezone.now() + timedelta(days=1))
        assert only().state == "dead"
        assert "ended 4 times" in only().error

    def test_waits_for_a_subscription_that_is_not_declared(self, wire: Wire, ledger: Ledger) -> None:
        ledger.poison = {1}
        say("a", 1)
        wire.pump()
        DeadLetter.objects.using(LISTENER).update(subscription="web_bff.former")

        assert retry(now=timezone.now() + timedelta(days=1)) == 0
        (outcome,) = redrive.redrive(Selection(module=LISTENER))
        assert "is not declared" in outcome.error


class TestThePause:
    def test_doubles_up_to_a_limit_and_is_spread(self) -> None:
        seconds = [[parking.pause(attempts).total_seconds() for _ in range(200)] for attempts in range(1, 40)]

        assert all(5 <= each <= 10 for each in seconds[0])
        assert all(40 <= each <= 80 for each in seconds[3])
        assert all(1800 <= each <= 3600 for each in seconds[-1])
        assert len(set(seconds[0])) > 100


class TestRedrive:
    @pytest.fixture
    def parked(self, wire: Wire, ledger: Ledger) -> Ledger:
        """Two keys of one stream, each with a failed message and messages behind it."""
        ledger.poison = {1, 11}
        for number in (1, 2, 3):
            say("a", number)
            say(NEIGHBOUR, number + 10)
        wire.pump()
        ledger.poison = set()
        return ledger

    def redrive(self, **conditions: object) -> list[tuple[str, int, str]]:
        outcomes = redrive.redrive(Selection(module=LISTENER, **conditions))  # type: ignore[arg-type]
        return [(outcome.key, outcome.applied, outcome.error) for outcome in outcomes]

    def test_of_all_takes_every_key_in_order(self, parked: Ledger) -> None:
        assert sorted(self.redrive()) == sorted([("a", 3, ""), (NEIGHBOUR, 3, "")])
        assert parked.numbers("a") == [1, 2, 3]
        assert parked.numbers(NEIGHBOUR) == [11, 12, 13]
        assert letters() == []

    def test_of_a_key_leaves_the_others(self, parked: Ledger) -> None:
        assert self.redrive(key="a") == [("a", 3, "")]
        assert parked.numbers() == [1, 2, 3]
        assert {letter.key for letter in letters()} == {NEIGHBOUR}

    def test_of_one_takes_what_is_before_it_first(self, parked: Ledger) -> None:
        second = letters()[1] if letters()[1].key == "a" else letters()[4]

        assert self.redrive(ids=(second.pk,)) == [("a", 2, "")]
        assert parked.numbers() == [1, 2]
        retry(now=timezone.now())
        assert parked.numbers("a") == [1, 2, 3]

    def test_of_a_type_takes_the_keys_where_it_is(self, parked: Ledger) -> None:
        assert self.redrive(name="orders.nothing") == []
        assert len(self.redrive(name="orders.tick")) == 2
        assert len(parked.numbers()) == 6

    def test_of_an_error_takes_the_keys_that_have_it(self, parked: Ledger) -> None:
        assert self.redrive(error="POISON 11") == [(NEIGHBOUR, 1, "")]
        assert parked.numbers() == [11]

    def test_of_a_state_takes_what_is_dead(self, parked: Ledger) -> None:
        DeadLetter.objects.using(LISTENER).filter(key="a", attempts=1).update(state="dead", next_attempt_at=None)

        assert self.redrive(state="dead") == [("a", 1, "")]
        assert parked.numbers() == [1]

    def test_that_fails_keeps_a_dead_letter_dead(self, parked: Ledger) -> None:
        parked.poison = {1}
        DeadLetter.objects.using(LISTENER).filter(attempts=1).update(state="dead", next_attempt_at=None)

        ((_, applied, error),) = self.redrive(key="a")
        assert (applied, error) == (0, "ValueError: poison 1")
        assert next(row for row in summary() if row[0] == "a") == ("a", letters_of("a")[0].position, "dead", 2)

    def test_that_is_asked_for_is_done_by_the_worker(self, parked: Ledger) -> None:
        DeadLetter.objects.using(LISTENER).filter(attempts=1).update(state="dead", next_attempt_at=None)

        assert redrive.request(Selection(module=LISTENER, key="a")) == 1
        assert parked.numbers() == []
        assert retry(now=timezone.now()) == 3
        assert parked.numbers() == [1, 2, 3]

    def test_that_is_asked_for_gives_a_dead_letter_one_attempt(self, parked: Ledger, settings: Settings) -> None:
        settings.PANGAEA = replace(settings.PANGAEA, dead_letter_attempts=1)
        parked.poison = {1}
        DeadLetter.objects.using(LISTENER).filter(attempts=1).update(state="dead", next_attempt_at=None)
        redrive.request(Selection(module=LISTENER, key="a"))

        retry(now=timezone.now())
        letter = letters_of("a")[0]
        assert (letter.state, letter.attempts) == ("dead", 2)

    def test_that_is_asked_for_stands_against_a_worker_that_gives_up(self, parked: Ledger) -> None:
        read_before = letters_of("a")[0]
        redrive.request(Selection(module=LISTENER, key="a"))

        assert not redrive.give_up(read_before, ValueError("the last attempt"))
        assert letters_of("a")[0].state == "retrying"

    def test_that_is_asked_for_during_the_last_attempt_gives_another_one(
        self, parked: Ledger, settings: Settings
    ) -> None:
        class Asking(ValueError):
            """An error whose text is read after its transaction has ended and before its failure is recorded."""

            def __str__(self) -> str:
                redrive.request(Selection(module=LISTENER, key="a"))
                return "failed"

        settings.PANGAEA = replace(settings.PANGAEA, dead_letter_attempts=2)
        with pytest.raises(Asking), failing_with(parked, Asking()):
            redrive.attempt(parked.subscription, letters_of("a")[0], now=timezone.now())
        letter = letters_of("a")[0]
        assert (letter.state, letter.attempts, letter.error.endswith("failed")) == ("retrying", 2, True)
        assert letter.next_attempt_at
        assert letter.next_attempt_at <= timezone.now()
        assert retry(now=timezone.now()) == 3


class TestDiscard:
    @pytest.fixture
    def parked(self, wire: Wire, ledger: Ledger) -> Ledger:
        ledger.poison = {1}
        say("a", 1, 2)
        wire.pump()
        return ledger

    def test_frees_the_key(self, parked: Ledger, wire: Wire) -> None:
        discarding.discard_letter(letters()[0], reason="written by a bug", by="chief")

        assert summary() == [("a", 2, "retrying", 0)]
        assert retry(now=timezone.now()) == 1
        say("a", 3)
        wire.pump()
        assert parked.numbers() == [2, 3]

    def test_keeps_the_letter_and_logs_it(self, parked: Ledger) -> None:
        with capture_logs() as lines:
            discarding.discard_letter(letters()[0], reason=" written by a bug ", by="chief")

        record = DiscardedLetter.objects.using(LISTENER).get()
        assert (record.key, record.position, record.reason, record.discarded_by) == (
            "a",
            1,
            "written by a bug",
            "chief",
        )
        assert "poison 1" in record.error
        assert '"number":1' in record.body
        (line,) = lines
        assert (line["event"], line["reason"], line["by"]) == ("dead letter discarded", "written by a bug", "chief")
        assert parked.numbers() == []

    @pytest.mark.parametrize("reason", ["", "  "])
    def test_needs_a_reason(self, parked: Ledger, reason: str) -> None:
        with pytest.raises(Invalid, match="Give the reason"):
            discarding.discard_letter(letters()[0], reason=reason, by="chief")
        assert len(letters()) == 2
        assert parked.numbers() == []

    def test_of_one_behind_leaves_the_lowest_as_it_is(self, parked: Ledger) -> None:
        discarding.discard_letter(letters()[1], reason="no use", by="chief")

        assert summary() == [("a", 1, "retrying", 1)]
        assert parked.numbers() == []

    def test_stands_against_a_worker_that_gives_up(self, parked: Ledger) -> None:
        read_before = letters()[0]
        discarding.discard_letter(letters()[0], reason="no use", by="chief")

        assert not redrive.give_up(read_before, ValueError("the last attempt"))
        assert summary() == [("a", 2, "retrying", 0)]
        assert parked.numbers() == []

    def test_of_a_subscription_that_was_forgotten_meanwhile_does_nothing(self, parked: Ledger) -> None:
        selected = letters()
        DeadLetter.objects.using(LISTENER).all().delete()
        Cursor.objects.using(LISTENER).all().delete()

        assert [discarding.discard_letter(letter, reason="a test", by="chief") for letter in selected] == [False] * 2
        with transaction.atomic(using=LISTENER):
            KeyQueue.of(selected[0]).lock()

    def test_twice_is_once(self, parked: Ledger) -> None:
        letter = letters()[0]
        assert [discarding.discard_letter(letter, reason="no use", by="chief") for _ in range(2)] == [True, False]

        assert DiscardedLetter.objects.using(LISTENER).count() == 1
        assert parked.numbers() == []


@contextmanager
def failing_with(ledger: Ledger, failure: Exception) -> Iterator[None]:
    """Let the ledger's handler raise this error at its poison."""
    (name, handler), *_ = ledger.subscription.handlers.items()

    def fail(_message: object) -> None:
        raise failure

    ledger.subscription.handlers[name] = replace(handler, call=fail)
    try:
        yield
    finally:
        ledger.subscription.handlers[name] = handler


def letters_of(key: str) -> list[DeadLetter]:
    return [letter for letter in letters() if letter.key == key]


class TestTheTableOfAttempts:
    def test_waits_for_no_disk(self) -> None:
        if connections[LISTENER].vendor != "postgresql":
            pytest.skip("tables are unlogged on PostgreSQL")
        with connections[LISTENER].cursor() as cursor:
            cursor.execute("SELECT relpersistence FROM pg_class WHERE oid = 'pangaea_attempt'::regclass")
            assert cursor.fetchone() == ("u",)
