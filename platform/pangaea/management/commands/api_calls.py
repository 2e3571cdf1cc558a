import json
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from pangaea import modules
from pangaea.api import call_counts
from pangaea.api.call_counts import CallsOf


class Command(BaseCommand):
    """Prints who still calls a version: the question before it is removed. The admin shows the same, day by day."""

    help = "Show how often each caller called each version of the API. A line is one caller of one route."

    def add_arguments(self, parser: CommandParser) -> None:
        """The modules, the version, the time and the format."""
        parser.add_argument("--module", action="append", default=[], help="only this module (repeatable)")
        parser.add_argument("--api-version", metavar="v1", help="only this one")
        parser.add_argument(
            "--since", type=_day, metavar="YYYY-MM-DD", help="the first day, in UTC (default: 30 days ago)"
        )
        parser.add_argument("--most", type=int, default=50, metavar="N", help="callers to list (default: 50)")
        parser.add_argument("--json", action="store_true", help="everything, as JSON")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Print the calls, of each module those with most calls first."""
        try:
            labels = modules.selected(options["module"])
        except LookupError as error:
            raise CommandError(str(error)) from error
        since = options["since"] or datetime.now(UTC).date() - timedelta(days=30)
        found = {label: call_counts.calls_of(label, since=since, version=options["api_version"]) for label in labels}
        if options["json"]:
            document = {label: [asdict(each) for each in calls] for label, calls in found.items()}
            self.stdout.write(json.dumps(document, default=str, indent=2))
            return
        for label, calls in found.items():
            self._print(label, calls, since=since, most=options["most"])

    def _print(self, label: str, calls: list[CallsOf], *, since: date, most: int) -> None:
        if not calls:
            self.stdout.write(f"{label}: no calls since {since}")
            return
        callers = len({each.subject for each in calls})
        self.stdout.write(f"{label}: {sum(each.calls for each in calls):,} calls of {callers:,} callers since {since}")
        width = max(len(each.route) for each in calls)
        for each in calls[:most]:
            line = f"  {each.version:<4} {each.route:<{width}}  {each.subject:<36} {each.calls:>10,}  last {each.last}"
            self.stdout.write(line)
        if len(calls) > most:
            self.stdout.write(f"  and {len(calls) - most:,} more; --most={len(calls)} lists all")


def _day(text: str) -> date:
    return date.fromisoformat(text)
