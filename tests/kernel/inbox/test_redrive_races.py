"""Redrive while consumption goes on, on threads and connections of their own; and a poison message in a long stream."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from threading import Barrier, Event
from typing import TypeVar

import pytest
from django.db import connections, transaction
from django.utils import timezone
from pytest_django import Settings

from pangaea import outbox
from pangaea.inbox.dead_letters import redrive as redriving
from pangaea.inbox.models import DeadLetter
from pangaea.messages import Received
from tests.kernel.parked import redrive, summary
from tests.kernel.pipeline import LISTENER, SOURCE, Ledger, Tick, Wire, ledger_table, say

pytestmark = pytest.mark.django_db(databases=[SOURCE, LISTENER], transaction=True)

T = TypeVar("T")
TIMEOUT = 10
"""Seconds that one thread waits for another."""

MESSAGES, KEYS = 10_000, 500


class HesitantLedger(Ledger):
    """Waits at one number, inside its transaction, until the test lets it go on."""

    def __init__(self) -> None:
        super().__init__()
        self.hesitates_at = -1
        self.reached, self.may_go_on = Event(), Event()

    def _write(self, message: Received[Tick]) -> None:
        super()._write(message)
        if message.payload.number == self.hesitates_at:
            self.reached.set()
            assert self.may_go_on.wait(TIMEOUT)


@pytest.fixture
def ledger() -> Iterator[HesitantLedger]:
    with ledger_table():
        yield HesitantLedger()


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(max_workers=3) as pool:
        yield pool


def on_a_connection_of_its_own(work: Callable[[], T]) -> T:
    try:
        return work()
    finally:
        connections.close_all()


@pytest.mark.usefixtures("postgresql_only")
class TestRedriveAndConsumption:
    def test_what_arrives_while_its_key_is_redriven_is_applied_after_it(
        self, wire: Wire, ledger: HesitantLedger, threads: ThreadPoolExecutor
    ) -> None:
        ledger.poison = {1}
        say("a", 1, 2)
        wire.pump()
        ledger.poison, ledger.hesitates_at = set(), 2
        say("a", 3)
        while wire.relay.step():
            pass
        redriven = threads.submit(on_a_connection_of_its_own, lambda: redrive(ledger.subscription, "a"))
        assert ledger.reached.wait(TIMEOUT)
        consumed = threads.submit(on_a_connection_of_its_own, wire.deliver_all)
        assert not consumed.done()
        ledger.may_go_on.set()

        assert redriven.result(TIMEOUT) == 2
        consumed.result(TIMEOUT)
        assert ledger.numbers() == [1, 2, 3]
        assert summary() == []

    def test_two_that_redrive_the_same_key_apply_each_once(
        self, wire: Wire, ledger: HesitantLedger, threads: ThreadPoolExecutor
    ) -> None:
        ledger.poison = {0}
        say("a", *range(30))
        wire.pump()
        ledger.poison = set()
        together = Barrier(3)

        def redrive_key() -> int:
            together.wait(TIMEOUT)
            return redrive(ledger.subscription, "a")

        def retry() -> int:
            together.wait(TIMEOUT)
            return redriving.retry_due(LISTENER, [ledger.subscription], now=timezone.now() + timedelta(days=1))

        done = [threads.submit(on_a_connection_of_its_own, work) for work in (redrive_key, redrive_key, retry)]
        assert sum(each.result(TIMEOUT) for each in done) == 30
        assert ledger.numbers() == list(range(30))
        assert summary() == []


@pytest.mark.full
class TestAPoisonMessageAmongTenThousand:
    def test_stops_its_key_alone_which_redrives_in_order(
        self, wire: Wire, ledger: HesitantLedger, settings: Settings
    ) -> None:
        settings.PANGAEA = replace(settings.PANGAEA, relay_batch=250)
        with transaction.atomic(using=SOURCE):
            for number in range(MESSAGES):
                outbox.publish(Tick(number=number), key=f"key-{number % KEYS}")
        sick, last = "key-7", MESSAGES - KEYS + 7
        ledger.poison = {KEYS * 3 + 7}
        wire.pump()

        stopped = range(KEYS * 3 + 7, last + 1, KEYS)
        assert sorted(ledger.numbers()) == sorted(set(range(MESSAGES)) - set(stopped))
        states = [letter.state for letter in DeadLetter.objects.using(LISTENER).order_by("position")]
        assert states == ["retrying"] + ["behind"] * (len(stopped) - 1)

        ledger.poison = set()
        assert redrive(ledger.subscription, sick) == len(stopped)
        assert ledger.numbers(sick) == list(range(7, MESSAGES, KEYS))
