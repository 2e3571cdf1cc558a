import sys
from typing import Any

from django.core.management.base import CommandParser

from pangaea import text
from pangaea.inbox.rebuild.comparison import Comparison, Difference
from pangaea.management.replaying import ReplayCommand


class Command(ReplayCommand):
    """Workers and relays continue while it runs. The exit status is 1 if there are differences."""

    help = "Compare a projection with a replay of its streams from the beginning; changes nothing."

    def add_arguments(self, parser: CommandParser) -> None:
        """The number of differences to print."""
        super().add_arguments(parser)
        parser.add_argument(
            "--limit", type=int, default=20, help="differences to print of each table (default: %(default)d)"
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        """Compare and print."""
        name: str = options["projection"]
        with self.replaying(name) as running:
            found = self.drive(running, options, lambda: running.compare(limit=options["limit"]))
        for difference in found.differences:
            self.stdout.write(_line(difference))
        for each in found.counts:
            if each.before != each.after:
                self.stdout.write(f"{each.what}: {each.before:,} found, {each.after:,} expected")
        if found.total > len(found.differences):
            self.stdout.write(f"... and {found.total - len(found.differences):,} more differences")
        if found.same:
            self.stdout.write(self.style.SUCCESS(f"{name} equals a replay of its streams."))
        else:
            self.stdout.write(f"{name}: {_differing(found)}. To correct it: `{_correction(name, found)}`")
            sys.exit(1)


def _differing(found: Comparison) -> str:
    return f"{found.total:,} rows differ" if found.total else "the numbers of parked messages differ"


def _correction(name: str, found: Comparison) -> str:
    """The command that corrects what was found: a rebuild that changes counts is refused unless they are accepted."""
    return f"manage.py rebuild {name}" + ("" if found.counts_agree else " --accept-difference")


def _line(difference: Difference) -> str:
    head = text.escaped(" ".join(filter(None, [difference.kind, difference.table, difference.row])))
    match difference.kind:
        case "wrong":
            columns = [
                f"{name} is {_value(was)}, should be {_value(should)}"
                for name, (was, should) in difference.columns.items()
            ]
        case "missing":
            columns = [f"{name} {_value(should)}" for name, (_, should) in difference.columns.items()]
        case _:
            columns = [f"{name} {_value(was)}" for name, (was, _) in difference.columns.items()]
    return f"{head}: {'; '.join(columns)}"


def _value(value: Any) -> str:
    """Texts in quotes, in which nothing is invisible; None, numbers, ids and times as they are written elsewhere."""
    return repr(value) if isinstance(value, str) else str(value)
