"""`manage.py deadletters list|show|redrive|discard`: inspect and resolve messages that could not be applied."""

import getpass
from collections.abc import Sequence
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from pangaea import modules, text
from pangaea.errors import Invalid
from pangaea.health import states
from pangaea.health.states import Shown
from pangaea.ids import canonical
from pangaea.inbox.dead_letters import discarding, display, redrive
from pangaea.inbox.dead_letters.selection import Selection
from pangaea.inbox.models import DeadLetter
from pangaea.management import colours

LIMIT = 50


class Command(BaseCommand):
    """A letter is named like `orders/17`. Several conditions select the letters that fulfil all of them."""

    help = "List, show, redrive or discard parked messages."

    def add_arguments(self, parser: CommandParser) -> None:
        """The actions, each with the same conditions."""
        actions = parser.add_subparsers(dest="action", required=True)
        for name, summary in {
            "list": "list parked messages",
            "show": "show one with its traceback and body",
            "redrive": "apply them again, at once and in this process, in the order of each key",
            "discard": "give them up for good; the later messages of their keys are applied",
        }.items():
            action = actions.add_parser(name, help=summary, description=summary)
            action.add_argument("letters", nargs="*", metavar="MODULE/ID", help="these letters")
            action.add_argument("--module", action="append", default=[], help="of this module (repeatable)")
            action.add_argument("--subscription", default="", help="of this subscription")
            action.add_argument("--key", default="", help="of this key")
            action.add_argument("--type", default="", dest="name", help="of this wire name: orders.order_placed")
            action.add_argument("--error", default="", help="whose error contains this text")
            action.add_argument("--state", default="", choices=DeadLetter.State.values, help="in this state")
            if name == "list":
                action.add_argument(
                    "--limit", type=int, default=LIMIT, help="at most this many per module (%(default)s)"
                )
            if name in {"redrive", "discard"}:
                action.add_argument("--all", action="store_true", help="needed where no condition is given")
            if name == "discard":
                action.add_argument("--reason", required=True, help="why they are given up; recorded")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Run the action on the selected letters."""
        selections = self._selections(options)
        if options["action"] in {"redrive", "discard"} and not (options["all"] or _conditions(options)):
            message = "This would select every parked message. Give a condition, or --all."
            raise CommandError(message)
        if options["action"] in {"redrive", "discard"} and not any(each.letters().exists() for each in selections):
            message = "No parked message matches, so nothing was done. `manage.py deadletters list` lists all."
            raise CommandError(message)
        getattr(self, f"_{options['action']}")(selections, options)

    def _list(self, selections: Sequence[Selection], options: dict[str, Any]) -> None:
        rows, total = [], 0
        for each in selections:
            letters = each.letters()
            total += letters.count()
            rows += [_row(each.module, letter) for letter in letters[: options["limit"]]]
        if rows:
            headers = ("letter", "subscription", "key", "type", "position", "state", "attempts", "error")
            self._print_table([headers, *rows])
        hidden = f", {len(rows)} shown; see --limit" if total > len(rows) else ""
        self.stdout.write(f"{_counted(total, 'parked message')}{hidden}.")

    def _show(self, selections: Sequence[Selection], options: dict[str, Any]) -> None:
        found = [(each.module, letter) for each in selections for letter in each.letters()[:2]]
        if len(found) != 1:
            message = f"{len(found) or 'No'} messages match; name one as in `deadletters list`, like orders/17."
            raise CommandError(message)
        ((module, letter),) = found
        for name, value in _facts(module, letter):
            self.stdout.write(text.escaped(f"{name:<16}{value}", lines=True))
        traceback, message = text.escaped(letter.traceback, lines=True), display.body_of(letter)
        for title, content in (("traceback", traceback), ("message", message)):
            self.stdout.write(f"\n{title}\n{content.rstrip() or '-'}")

    def _redrive(self, selections: Sequence[Selection], options: dict[str, Any]) -> None:
        applied, failed = 0, 0
        for each in selections:
            for outcome in redrive.redrive(each):
                applied += outcome.applied
                failed += bool(outcome.error)
                line = f"{outcome.subscription}  key {outcome.key}: {outcome.applied} applied"
                failure = f", then {outcome.error}" if outcome.error else ""
                self.stdout.write(text.escaped(line + failure, lines=True))
        self.stdout.write(f"{_counted(applied, 'message')} applied.")
        if failed:
            message = f"{_counted(failed, 'key')} failed again; the rest of its messages stay parked, in order."
            raise CommandError(message)

    def _discard(self, selections: Sequence[Selection], options: dict[str, Any]) -> None:
        try:
            discarded = sum(
                discarding.discard(each, reason=options["reason"], by=getpass.getuser()) for each in selections
            )
        except Invalid as error:
            raise CommandError(error.message) from error
        self.stdout.write(f"{_counted(discarded, 'message')} discarded.")

    def _selections(self, options: dict[str, Any]) -> list[Selection]:
        conditions = {name: options[name] for name in ("subscription", "name", "error", "state")}
        conditions["key"] = canonical(options["key"])
        ids: dict[str, list[int]] = {}
        for letter in options["letters"]:
            module, _, number = letter.partition("/")
            if not number.isdecimal():
                message = f"{letter!r} names no letter: write MODULE/ID, like orders/17."
                raise CommandError(message)
            ids.setdefault(module, []).append(int(number))
        try:
            labels = [modules.named(label).label for label in options["module"] or ids or modules.labels()]
        except LookupError as error:
            raise CommandError(str(error)) from error
        if ids and options["module"]:
            message = "Name letters or modules, not both: a letter's name contains its module."
            raise CommandError(message)
        return [Selection(module=label, ids=tuple(ids.get(label, ())), **conditions) for label in labels]

    def _print_table(self, rows: Sequence[Sequence[str | Shown]]) -> None:
        widths = [max(len(str(cell)) for cell in column) for column in zip(*rows, strict=True)]
        for row in rows:
            cells = (
                self._painted(cell) + " " * (width - len(str(cell))) for cell, width in zip(row, widths, strict=True)
            )
            self.stdout.write("  ".join(cells).rstrip())

    def _painted(self, cell: str | Shown) -> str:
        return colours.paint(self.style, cell) if isinstance(cell, Shown) else cell


def _conditions(options: dict[str, Any]) -> bool:
    return any(options[name] for name in ("letters", "module", "subscription", "key", "name", "error", "state"))


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _row(module: str, letter: DeadLetter) -> tuple[str | Shown, ...]:
    error = text.escaped(letter.error.splitlines()[0]) if letter.error else "-"
    return (
        f"{module}/{letter.pk}",
        letter.subscription,
        text.escaped(letter.key),
        text.escaped(letter.name),
        f"{letter.source}.{letter.audience}.{letter.partition}:{letter.position}",
        states.of_letter(letter.state, letter.parked_at),
        str(letter.attempts),
        error if len(error) <= 80 else f"{error[:79]}…",  # noqa: PLR2004 - a terminal's line
    )


def _facts(module: str, letter: DeadLetter) -> list[tuple[str, object]]:
    seconds = (letter.next_attempt_at - timezone.now()).total_seconds() if letter.next_attempt_at else 0
    shown = states.of_letter(letter.state, letter.parked_at)
    due = f"{letter.next_attempt_at} (in {max(seconds, 0):.0f} s)" if letter.next_attempt_at else "-"
    return [
        ("letter", f"{module}/{letter.pk}"),
        ("type", letter.name),
        ("key", letter.key),
        ("correlation id", display.correlation_id_of(letter) or "-"),
        ("subscription", letter.subscription),
        ("stream", f"{letter.source}.{letter.audience}.{letter.partition}"),
        ("position", letter.position),
        ("parked", letter.parked_at),
        ("state", f"{shown}: {shown.state.meaning}"),
        ("attempts", letter.attempts),
        ("next attempt", due),
        ("error", letter.error or "-"),
    ]
