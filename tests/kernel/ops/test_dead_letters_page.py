from collections.abc import Iterator

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone
from django.utils.html import escape

from pangaea.inbox.dead_letters import display
from pangaea.inbox.models import DeadLetter, DiscardedLetter
from pangaea.ops.models import Operator
from pangaea.outbox.models import OutboxMessage
from tests.kernel.labels import labels
from tests.kernel.parked import declared, letters, retry, summary
from tests.kernel.pipeline import LISTENER, SOURCE, Ledger, Wire, ledger_table, say
from tests.kernel.unreadable import UNREADABLE

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

PAGE = "/admin/pangaea/deadletter/"
LIST = f"{PAGE}{LISTENER}/"


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    with ledger_table(), declared() as ledger:
        yield ledger


@pytest.fixture(autouse=True)
def parked(wire: Wire, ledger: Ledger) -> Ledger:
    ledger.poison = {1}
    say("a", 1, 2)
    wire.pump()
    DeadLetter.objects.using(LISTENER).filter(attempts=1).update(state="dead", next_attempt_at=None)
    return ledger


@pytest.fixture
def browser(client: Client) -> Client:
    client.force_login(Operator.objects.create_superuser("chief"))
    return client


@pytest.fixture
def watcher(client: Client) -> Client:
    """An operator who may view letters and do nothing else."""
    operator = Operator.objects.create_user("watcher", is_staff=True)
    operator.user_permissions.add(Permission.objects.get(codename="view_deadletter"))
    client.force_login(operator)
    return client


def act(browser: Client, action: str, *chosen: DeadLetter, **more: str) -> HttpResponse:
    form = {"action": action, "_selected_action": [str(letter.pk) for letter in chosen], **more}
    return browser.post(LIST, form, follow=True)  # type: ignore[return-value]


class TestThePages:
    def test_show_what_each_module_has_parked(self, browser: Client) -> None:
        page = browser.get(PAGE).content.decode()

        words = {word for word, _ in labels(page)}
        assert {"dead", "behind"} <= words
        assert "Nothing is parked." in page
        for link in ("", "?state__exact=dead", "?state__exact=behind"):
            assert f'href="{LIST}{link}"' in page

    def test_are_filtered_by_no_column_that_they_do_not_show(self, watcher: Client) -> None:
        assert watcher.get(LIST).status_code == 200
        assert watcher.get(LIST, {"body__startswith": "{"}).status_code == 400

    def test_list_a_modules_letters_and_filter_them(self, browser: Client) -> None:
        assert "ValueError: poison 1" in browser.get(LIST).content.decode()

        dead, behind = (f"{LIST}{letter.pk}/" for letter in letters())
        for query, listed in {"": [dead, behind], "?state__exact=dead": [dead], "?q=nothing-like-that": []}.items():
            page = browser.get(LIST + query).content.decode()
            assert [link for link in (dead, behind) if link in page] == listed

    def test_show_one_in_full(self, browser: Client) -> None:
        page = browser.get(f"{LIST}{letters()[0].pk}/").content.decode()

        for text in (
            f"{LISTENER}/{letters()[0].pk}",
            "Traceback (most recent call last)",
            "web_bff.ledger",
            "&quot;number&quot;: 1",
            "Attempts",
        ):
            assert text in page

    @pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE)
    def test_show_one_that_nobody_can_read(self, browser: Client, wire: Wire, body: str) -> None:
        say("b", 3)
        OutboxMessage.objects.using(SOURCE).filter(key="b").update(body=body)
        wire.pump()
        (letter,) = (each for each in letters() if each.key == "b")

        assert f"{LIST}{letter.pk}/" in browser.get(LIST).content.decode()
        assert escape(display.body_of(letter)[:1000]) in browser.get(f"{LIST}{letter.pk}/").content.decode()
        assert "The worker will redrive 1 key." in act(browser, "redrive", letter, confirmed="yes").content.decode()
        assert retry(now=timezone.now()) == 0
        act(browser, "discard", letter, confirmed="yes", reason="a bug wrote it")
        assert DiscardedLetter.objects.using(LISTENER).get().body == letter.body

    @pytest.mark.parametrize("missing", [f"{PAGE}nowhere/", f"{LIST}0/", f"{PAGE}nowhere/1/"])
    def test_of_nothing_are_not_found(self, browser: Client, missing: str) -> None:
        assert browser.get(missing).status_code == 404

    def test_are_for_those_who_may_see_them(self, client: Client) -> None:
        client.force_login(Operator.objects.create_user("stranger", is_staff=True))

        for page in (PAGE, LIST, f"{LIST}{letters()[0].pk}/"):
            assert client.get(page).status_code == 403

    def test_show_a_key_that_turns_the_text_around(self, browser: Client) -> None:
        letter = letters()[0]
        DeadLetter.objects.using(LISTENER).filter(pk=letter.pk).update(key="gnp\u202eexe")

        for page in (browser.get(f"{LIST}{letter.pk}/"), act(browser, "discard", letter)):
            assert "\u202e" not in page.content.decode()
            assert r"gnp\u202eexe" in page.content.decode()


class TestRedrive:
    def test_is_confirmed_first(self, browser: Client) -> None:
        page = act(browser, "redrive", letters()[0])

        assert "Redrive 1 message?" in page.content.decode()
        assert summary()[0][2] == "dead"

    def test_is_done_by_the_worker(self, browser: Client, parked: Ledger) -> None:
        parked.poison = set()

        page = act(browser, "redrive", letters()[0], confirmed="yes")
        assert "The worker will redrive 1 key." in page.content.decode()
        assert parked.numbers() == []
        assert retry(now=timezone.now()) == 2
        assert parked.numbers() == [1, 2]
        assert LogEntry.objects.get().get_change_message() == "Redrive requested."


class TestDiscard:
    def test_asks_for_a_reason(self, browser: Client) -> None:
        assert "Give the reason" not in act(browser, "discard", letters()[0]).content.decode()
        assert "Give the reason" in act(browser, "discard", letters()[0], confirmed="yes", reason=" ").content.decode()
        assert len(letters()) == 2

    def test_frees_the_key_and_keeps_who_and_why(self, browser: Client, parked: Ledger) -> None:
        page = act(browser, "discard", letters()[0], confirmed="yes", reason="a bug wrote it")

        assert "1 message discarded." in page.content.decode()
        letter = DiscardedLetter.objects.using(LISTENER).get()
        assert (letter.reason, letter.discarded_by) == ("a bug wrote it", "chief")
        assert "a bug wrote it" in LogEntry.objects.get().get_change_message()
        assert retry(now=timezone.now()) == 1
        assert parked.numbers() == [2]

    @pytest.mark.parametrize("reason", ["a\0b", "a bug\u202e", "\u200b"])
    def test_takes_no_reason_that_cannot_be_read(self, browser: Client, reason: str) -> None:
        page = act(browser, "discard", letters()[0], confirmed="yes", reason=reason)

        assert page.status_code == 200
        assert "Remove U+" in page.content.decode()
        assert len(letters()) == 2
        assert not LogEntry.objects.exists()

    def test_of_a_letter_that_is_there_no_more_says_so(self, browser: Client) -> None:
        letter = letters()[0]
        act(browser, "discard", letter, confirmed="yes", reason="a bug wrote it")

        page = act(browser, "discard", letter, confirmed="yes", reason="a bug wrote it")
        assert "Nothing was discarded" in page.content.decode()
        assert LogEntry.objects.count() == 1

    def test_takes_all_of_a_filtered_list(self, browser: Client) -> None:
        form = {"action": "discard", "_selected_action": ["0"], "select_across": "1"}
        form |= {"confirmed": "yes", "reason": "all of it"}
        browser.post(f"{LIST}?state__exact=behind", form)

        assert [row[2] for row in summary()] == ["dead"]


class TestWhoMayOnlyLook:
    @pytest.mark.parametrize("action", ["redrive", "discard"])
    def test_cannot_act(self, watcher: Client, action: str) -> None:
        page = act(watcher, action, letters()[0], confirmed="yes", reason="because")

        assert page.status_code == 200
        assert summary() == [("a", 1, "dead", 1), ("a", 2, "behind", 0)]
        assert f'value="{action}"' not in watcher.get(f"{LIST}{letters()[0].pk}/").content.decode()
