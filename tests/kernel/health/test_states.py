"""One word and one colour per state, for the CLI, the admin and the documents; red is what `streams --check` names."""

from collections import Counter
from datetime import datetime, timedelta
from io import StringIO
from itertools import product

import pytest
from django.core.management import CommandError, call_command
from django.core.management.color import color_style
from django.test import Client
from django.utils import timezone

from pangaea.broker.queue_status import QueueStatus
from pangaea.health import concerns, readiness, states
from pangaea.health.states import Colour, Shown
from pangaea.health.stream_status import CursorStatus, ModuleStatus, StreamStatus, SubscriptionStatus
from pangaea.inbox.models import Cursor, DeadLetter
from pangaea.management import colours
from pangaea.ops.models import Operator
from pangaea.rendering import states as rendered
from pangaea.telemetry import components
from tests.kernel.labels import labels

ALIAS = "web_bff"
STREAM_KEY = {"subscription": "web_bff.orders", "source": "orders", "audience": "all", "partition": 0}
LETTERS = "/admin/pangaea/deadletter/"
LETTER = {"key": "k", "name": "orders.order_placed", "body": "{}"}
ALL = {state for group in (states.STREAMS, states.SUBSCRIPTIONS, states.LETTERS, states.QUEUES) for state in group}

pytestmark = pytest.mark.django_db(databases="__all__")


def ago(**units: float) -> datetime:
    return timezone.now() - timedelta(**units)


def cursor(
    *,
    lag: int = 0,
    dead: int = 0,
    retried_for: timedelta | None = None,
    waits_for: timedelta | None = None,
    state: Cursor.State = Cursor.State.ACTIVE,
    awaits_snapshot: bool = False,
) -> CursorStatus:
    return CursorStatus(
        source="orders",
        audience="all",
        partition=0,
        position=5,
        head=5 + lag,
        parked=dead + (retried_for is not None),
        dead=dead,
        oldest_retried=timezone.now() - retried_for if retried_for else None,
        waiting_since=timezone.now() - waits_for if waits_for else None,
        state=state,
        awaits_snapshot=awaits_snapshot,
        asked=False,
        updated_at=timezone.now(),
    )


def named(*subscriptions: SubscriptionStatus, **fields: object) -> list[str]:
    """What `streams --check` names of a module with these subscriptions."""
    return concerns.of([ModuleStatus(label=ALIAS, title=ALIAS, subscriptions=list(subscriptions), **fields)])  # type: ignore[arg-type]


class TestRed:
    def test_is_exactly_what_the_check_names_of_a_subscription(self) -> None:
        soon, late = timedelta(seconds=1), timedelta(hours=1)
        for state, lag, dead, retried_for, waits_for, awaits, declared in product(
            Cursor.State, (0, 1, 20_000), (0, 1), (None, soon, late), (None, soon, late), (False, True), (True, False)
        ):
            each = cursor(
                state=state,
                lag=lag,
                dead=dead,
                retried_for=retried_for,
                waits_for=waits_for if lag or awaits else None,
                awaits_snapshot=awaits,
            )
            subscription = SubscriptionStatus("web_bff.orders", [each], declared=declared)
            shown = states.of_subscription(subscription)
            assert (shown.colour is Colour.RED) == bool(named(subscription)), (shown, each)

    def test_is_exactly_what_the_check_names_of_a_stream_on_which_nothing_has_begun(self) -> None:
        for waits_for in (timedelta(seconds=1), timedelta(hours=1)):
            waiting = SubscriptionStatus("web_bff.orders", [], not_begun=[cursor(lag=1, waits_for=waits_for)])
            assert (states.of_subscription(waiting).colour is Colour.RED) == bool(named(waiting))

    def test_is_exactly_what_the_check_names_of_a_stream(self) -> None:
        for oldest in (None, ago(seconds=1), ago(hours=1)):
            head = 2 if oldest else 1
            stream = StreamStatus("all", 0, head=head, sent=1, floor=0, oldest_unsent=oldest, oldest_sent=None)
            shown = states.of_stream(stream.backlog, stream.oldest_unsent)
            assert (shown.colour is Colour.RED) == bool(named(streams=[stream]))

    def test_is_exactly_what_the_check_names_of_a_queue(self) -> None:
        for consumers, exists in ((0, False), (0, True), (1, True), (None, True)):
            queue = QueueStatus("web_bff.inbox.0", ALIAS, 0, consumers, exists=exists)
            assert (states.of_queue(queue).colour is Colour.RED) == bool(named(queues=[queue]))

    def test_is_a_state_that_waits_for_a_person_and_no_other_is_red(self) -> None:
        assert {each for each in ALL if each.colour is Colour.RED} == {
            each for each in ALL if each.needs_person == states.ALWAYS
        }


class TestAWord:
    def test_means_one_thing(self) -> None:
        assert [word for word, times in Counter(each.word for each in ALL).items() if times > 1] == []

    def test_is_in_the_document_with_every_state_of_the_probes(self) -> None:
        assert set(rendered.COMPONENTS) == set(components.State)
        constants = {value for name, value in vars(readiness).items() if name.isupper() and isinstance(value, str)}
        assert set(rendered.CHECKS) == constants


@pytest.mark.full
class TestTheCommandAndTheAdmin:
    """Each state is made in the database; both show its word, in its colour."""

    @pytest.fixture
    def browser(self, client: Client) -> Client:
        client.force_login(Operator.objects.create_superuser("chief"))
        return client

    @pytest.mark.parametrize("state", [Cursor.State.DIVERGED, Cursor.State.BELOW_FLOOR, Cursor.State.ACTIVE])
    def test_show_the_state_of_a_cursor(self, browser: Client, state: Cursor.State) -> None:
        Cursor.objects.using(ALIAS).create(**STREAM_KEY, position=3, head=3, state=state)
        red = state != Cursor.State.ACTIVE
        check_both(browser, state.label, Colour.RED if red else Colour.GREEN, is_named=red)

    def test_show_that_it_lags(self, browser: Client) -> None:
        Cursor.objects.using(ALIAS).create(**STREAM_KEY, position=3, head=4)
        check_both(browser, "lagging", Colour.YELLOW)
        Cursor.objects.using(ALIAS).update(waiting_since=ago(hours=1))
        check_both(browser, "lagging", Colour.RED, is_named=True)

    @pytest.mark.parametrize(
        ("parked_for", "state", "colour"),
        [
            (timedelta(0), DeadLetter.State.DEAD, Colour.RED),
            (timedelta(0), DeadLetter.State.RETRYING, Colour.YELLOW),
            (timedelta(hours=1), DeadLetter.State.RETRYING, Colour.RED),
        ],
    )
    def test_show_parked_messages(
        self, browser: Client, parked_for: timedelta, state: DeadLetter.State, colour: Colour
    ) -> None:
        Cursor.objects.using(ALIAS).create(**STREAM_KEY, position=3, head=3)
        due = timezone.now() if state == DeadLetter.State.RETRYING else None
        letters = DeadLetter.objects.using(ALIAS)
        letter = letters.create(**STREAM_KEY, **LETTER, position=1, state=state, next_attempt_at=due)
        letters.update(parked_at=timezone.now() - parked_for)
        check_both(browser, state.label, colour, is_named=colour is Colour.RED)

        assert coloured(state.label, colour) in printed("deadletters", "list")
        # The first page counts the letters of a module, whatever their age.
        assert any(word == state.label for word, _ in labels(browser.get(LETTERS).content.decode()))
        for page in (f"{LETTERS}{ALIAS}/", f"{LETTERS}{ALIAS}/{letter.pk}/"):
            assert (state.label, colour) in labels(browser.get(page).content.decode())


def check_both(browser: Client, word: str, colour: Colour, *, is_named: bool = False) -> None:
    """The command and the page of streams show the word in this colour, and the check's result is as expected."""
    assert coloured(word, colour) in printed("streams", "--module", ALIAS)
    page, _, _ = browser.get("/admin/pangaea/stream/").content.decode().partition('id="words"')
    assert (word, colour) in labels(page)
    try:
        printed("streams", "--module", ALIAS, "--check")
    except CommandError:
        assert is_named
    else:
        assert not is_named


def printed(*arguments: str) -> str:
    """What a command prints on a terminal with colours."""
    stream = StringIO()
    call_command(*arguments, stdout=stream, force_color=True)
    return stream.getvalue()


def coloured(word: str, colour: Colour) -> str:
    style = color_style(force_color=True)
    (shown,) = (Shown(each, is_late=each.colour is not colour) for each in ALL if each.word == word)
    return colours.paint(style, shown)
