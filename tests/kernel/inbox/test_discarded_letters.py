"""Records of discarded letters are deleted when they are old: by the worker's rounds, and by an operator."""

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.utils import timezone

from pangaea.inbox.dead_letters import discarding, timer
from pangaea.inbox.models import DiscardedLetter
from pangaea.outbox import retention
from tests.kernel.pipeline import LISTENER, SOURCE

pytestmark = pytest.mark.django_db(databases=[SOURCE, LISTENER], transaction=True)


@pytest.fixture(autouse=True)
def _just_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timer, "_prune_due", {})


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The timer's clock shows the last of these, in seconds."""
    seconds = [1000.0]
    monkeypatch.setattr(timer, "monotonic", lambda: seconds[-1])
    return seconds


def discarded(*days_ago: int) -> None:
    """Letters that were discarded that long ago, each at the position of its age."""
    for days in days_ago:
        letter = DiscardedLetter.objects.using(LISTENER).create(
            subscription="web_bff.ledger",
            source=SOURCE,
            audience="all",
            partition=0,
            position=days,
            key="a",
            name="orders.tick",
            body="{}",
            attempts=1,
            parked_at=timezone.now(),
            discarded_by="chief",
            reason="a test",
        )
        discarded_at = timezone.now() - timedelta(days=days)
        DiscardedLetter.objects.using(LISTENER).filter(pk=letter.pk).update(discarded_at=discarded_at)


def left() -> list[int]:
    return sorted(DiscardedLetter.objects.using(LISTENER).values_list("position", flat=True))


class TestPruning:
    def test_deletes_what_is_old(self) -> None:
        discarded(400, 1)
        assert discarding.prune(LISTENER) == discarding.Pruned(1, unfinished=False)
        assert left() == [1]

    def test_is_bounded_per_pass(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(discarding, "BATCH", 2)
        discarded(400, 401, 402)
        passes = [discarding.prune(LISTENER) for _ in range(2)]
        assert [(each.letters, each.unfinished) for each in passes] == [(2, True), (1, False)]
        assert left() == []

    def test_is_not_the_relays_work(self) -> None:
        discarded(400)
        retention.prune(LISTENER)
        assert left() == [400]

    def test_is_a_command_too(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(discarding, "BATCH", 2)
        discarded(400, 401, 402, 1)
        printed = StringIO()
        call_command("prune", "--module", LISTENER, stdout=printed)
        assert printed.getvalue().startswith(f"{LISTENER}: 0 messages, 3 discarded letters, ")
        assert left() == [1]


class TestARoundOfTheWorkersTimer:
    def test_prunes_at_an_interval(self, clock: list[float]) -> None:
        discarded(400)
        timer.run_round(LISTENER)
        assert left() == []
        discarded(401)
        clock.append(clock[-1] + timer.PRUNE_INTERVAL - 1)
        timer.run_round(LISTENER)
        assert left() == [401]
        clock.append(clock[-1] + 1)
        timer.run_round(LISTENER)
        assert left() == []

    def test_goes_on_at_once_where_a_pass_was_not_enough(
        self, clock: list[float], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(discarding, "BATCH", 2)
        discarded(400, 401, 402)
        timer.run_round(LISTENER)
        assert left() == [402]
        timer.run_round(LISTENER)
        assert left() == []

    def test_does_not_prune_another_modules_records(self, clock: list[float]) -> None:
        discarded(400)
        timer.run_round(SOURCE)
        assert left() == [400]
