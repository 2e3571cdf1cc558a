from collections.abc import Iterator
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from pangaea.inbox.dead_letters import display
from pangaea.inbox.models import DeadLetter, DiscardedLetter
from pangaea.outbox.models import OutboxMessage
from tests.kernel.parked import NEIGHBOUR, declared, letters, summary
from tests.kernel.pipeline import LISTENER, SOURCE, Ledger, Wire, ledger_table, say
from tests.kernel.unreadable import UNREADABLE

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    with ledger_table(), declared() as ledger:
        yield ledger


@pytest.fixture
def parked(wire: Wire, ledger: Ledger) -> Ledger:
    ledger.poison = {1, 11}
    say("a", 1, 2)
    say(NEIGHBOUR, 11)
    wire.pump()
    return ledger


def run(*arguments: str) -> str:
    output = StringIO()
    call_command("deadletters", *arguments, stdout=output)
    return output.getvalue()


@pytest.mark.usefixtures("parked")
class TestList:
    def test_shows_a_line_for_each(self) -> None:
        lines = run("list").splitlines()

        assert len(lines) == 5
        assert lines[-1] == "3 parked messages."
        (first,) = (line for line in lines if "poison 1" in line and "poison 11" not in line)
        assert f"{LISTENER}/{letters()[-2].pk}" in first
        for text in ("web_bff.ledger", "orders.tick", "retrying", "ValueError: poison 1"):
            assert text in first

    @pytest.mark.parametrize(
        ("conditions", "found"),
        [
            (["--key=a"], 2),
            (["--key=a", "--state=behind"], 1),
            (["--error=POISON 11"], 1),
            (["--type=orders.tick"], 3),
            (["--type=orders.tock"], 0),
            (["--subscription=web_bff.other"], 0),
            ([f"--module={SOURCE}"], 0),
            ([f"--module={LISTENER}", "--state=retrying"], 2),
        ],
    )
    def test_narrows_down(self, conditions: list[str], found: int) -> None:
        assert run("list", *conditions).splitlines()[-1].startswith(f"{found} parked message")

    @pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE)
    def test_shows_one_that_nobody_can_read(self, wire: Wire, body: str) -> None:
        say("b", 3)
        OutboxMessage.objects.using(SOURCE).filter(key="b").update(body=body)
        wire.pump()

        assert "no envelope" in run("list", "--key=b")
        (letter,) = (each for each in letters() if each.key == "b")
        assert display.body_of(letter) in run("show", "--key=b")
        with pytest.raises(CommandError, match="1 key failed again"):
            run("redrive", "--key=b")
        assert run("discard", "--key=b", "--reason=a bug wrote it") == "1 message discarded.\n"

    def test_finds_a_key_that_is_an_id_in_capitals(self, wire: Wire) -> None:
        say(key := "01a2232a-bd6d-7cc1-8000-0123456789ab", 1)
        wire.pump()

        assert run("list", f"--key={key.upper()}").splitlines()[-1] == "1 parked message."

    def test_says_what_it_leaves_out(self) -> None:
        assert run("list", "--limit=2").splitlines()[-1] == "3 parked messages, 2 shown; see --limit."

    def test_names_the_modules_there_are(self) -> None:
        with pytest.raises(CommandError, match=r"no module 'nowhere'.*web_bff"):
            run("list", "--module=nowhere")


@pytest.mark.usefixtures("parked")
class TestShow:
    def test_tells_all_about_one(self) -> None:
        shown = run("show", f"{LISTENER}/{letters()[-1].pk}")

        for text in ("orders.all.", "behind: it waits behind", '"number": 2'):
            assert text in shown

    def test_has_the_traceback_and_the_next_attempt(self) -> None:
        shown = run("show", "--error=poison 11")

        assert "Traceback (most recent call last)" in shown
        assert "(in " in shown

    def test_prints_nothing_that_a_terminal_obeys(self, wire: Wire, parked: Ledger) -> None:
        """Keys, errors and bodies are what strangers wrote."""
        evil, shown = "\x1b[2J\x9b31m\u202e", r"\x1b[2J\x9b31m\u202e"
        say(evil, 1)
        wire.pump()
        letter = DeadLetter.objects.using(LISTENER).get(key=evil)
        text = f"ValueError: {evil}\n  of two lines"
        DeadLetter.objects.using(LISTENER).filter(pk=letter.pk).update(error=text, traceback=text)

        listed, described = run("list"), run("show", f"{LISTENER}/{letter.pk}")
        parked.poison = set()
        redriven = run("redrive", f"{LISTENER}/{letter.pk}")

        for printed in (listed, described, redriven):
            assert shown in printed
            assert all(character.isprintable() or character == "\n" for character in printed)
        assert f"ValueError: {shown}\n  of two lines" in described
        assert len(listed.splitlines()) == 6

    @pytest.mark.parametrize("what", [["--key=a"], ["--key=b"], [f"{LISTENER}/0"]])
    def test_wants_exactly_one(self, what: list[str]) -> None:
        with pytest.raises(CommandError, match="name one"):
            run("show", *what)


class TestRedrive:
    def test_applies_in_order(self, parked: Ledger) -> None:
        parked.poison = {11}

        assert "key a: 2 applied" in run("redrive", "--key=a")
        assert parked.numbers() == [1, 2]
        assert [row[0] for row in summary()] == [NEIGHBOUR]

    def test_says_what_fails_again(self, parked: Ledger) -> None:
        parked.poison = {11}

        with pytest.raises(CommandError, match="1 key failed again"):
            run("redrive", "--all")
        assert parked.numbers() == [1, 2]

    def test_of_all_must_be_meant(self, parked: Ledger) -> None:
        with pytest.raises(CommandError, match="--all"):
            run("redrive")
        assert parked.numbers() == []

    @pytest.mark.parametrize("letter", ["17", "web_bff/", "web_bff/x"])
    def test_says_how_a_letter_is_named(self, letter: str) -> None:
        with pytest.raises(CommandError, match="MODULE/ID"):
            run("redrive", letter)

    @pytest.mark.parametrize("action", [["redrive"], ["discard", "--reason=no use"]])
    def test_of_nothing_fails(self, parked: Ledger, action: list[str]) -> None:
        with pytest.raises(CommandError, match="No parked message matches"):
            run(*action, "--key=unknown")
        assert parked.numbers() == []


class TestDiscard:
    def test_keeps_the_reason(self, parked: Ledger) -> None:
        assert run("discard", "--error=poison", "--reason=a bug wrote it") == "2 messages discarded.\n"
        assert {letter.reason for letter in DiscardedLetter.objects.using(LISTENER).all()} == {"a bug wrote it"}
        assert [row[0] for row in summary()] == ["a"]
        assert parked.numbers() == []

    def test_needs_a_reason(self, parked: Ledger) -> None:
        with pytest.raises(CommandError, match="--reason"):
            run("discard", "--key=a")
        with pytest.raises(CommandError, match="Give the reason"):
            run("discard", "--key=a", "--reason= ")
        with pytest.raises(CommandError, match=r"Remove U\+001B"):
            run("discard", "--key=a", "--reason=a\x1b[2J")
        assert len(letters()) == 3
        assert parked.numbers() == []
