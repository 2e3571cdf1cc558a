import json
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from pangaea import modules
from pangaea.health import concerns, states, stream_status, tables
from pangaea.health.states import Shown
from pangaea.health.stream_status import ModuleStatus
from pangaea.health.tables import Table
from pangaea.management import colours, resuming
from pangaea.management.replaying import ask_producers


class Command(BaseCommand):
    """Prints what the admin's page of streams shows. A line sums up the partitions; `--json` lists each of them."""

    stealth_options = ("stdin",)
    help = "Show every module's streams, subscriptions and subscribers; resume a stopped subscription."

    def __init__(self, *args: Any, send: resuming.Send | None = None, **kwargs: Any) -> None:
        """`send` sends catch-up requests to producers; the default sends them over the bus."""
        super().__init__(*args, **kwargs)
        self._send = send or ask_producers

    def add_arguments(self, parser: CommandParser) -> None:
        """The modules, the format and the limits; or an action on a subscription."""
        self._add_actions(parser)
        parser.add_argument("--module", action="append", default=[], help="only this module (repeatable)")
        parser.add_argument("--json", action="store_true", help="everything, as JSON")
        parser.add_argument("--check", action="store_true", help="exit 1 if anything waits for a person, and name it")
        parser.add_argument("--max-lag", type=int, help="messages that a subscription may be behind: CHECK_LAG_AT_MOST")
        parser.add_argument(
            "--max-age", type=float, help="seconds that a message may wait to be sent: CHECK_UNSENT_AT_MOST"
        )

    def _add_actions(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", metavar="resume|forget")
        summary = "resume a stopped subscription"
        resume = actions.add_parser("resume", help=summary, description=summary)
        resume.add_argument("subscription", help="its name: <module>.<subscription>")
        resume.add_argument(
            "--from",
            dest="how",
            required=True,
            choices=["head", "start"],
            help="head: skip the waiting messages; start: apply everything again",
        )
        summary = "delete the cursors of a subscription that no module declares, and discard its parked messages"
        forget = actions.add_parser("forget", help=summary, description=summary)
        forget.add_argument("subscription", help="its former name")
        for each in (resume, forget):
            each.add_argument("--reason", required=True, help="why; recorded with the operator's name")
            each.add_argument("--yes", action="store_true", help="do not ask")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Print the status, or resume or forget a subscription."""
        if options["action"] == "resume":
            resuming.resume(self.stdout, options, send=self._send)
            return
        if options["action"] == "forget":
            resuming.forget(self.stdout, options)
            return
        try:
            labels = modules.selected(options["module"])
        except LookupError as error:
            raise CommandError(str(error)) from error
        statuses = stream_status.read_all([modules.named(label) for label in labels])
        if options["json"]:
            self.stdout.write(json.dumps([_as_dict(status) for status in statuses], default=str, indent=2))
        else:
            for status in statuses:
                self._print(status)
        if options["check"]:
            max_age = None if options["max_age"] is None else timedelta(seconds=options["max_age"])
            if lines := concerns.of(statuses, max_lag=options["max_lag"], max_age=max_age):
                raise CommandError("\n".join(lines))

    def _print(self, status: ModuleStatus) -> None:
        self.stdout.write(self.style.MIGRATE_HEADING(status.label))
        if status.unreadable:
            unreadable = colours.paint(self.style, Shown(states.UNREADABLE))
            self.stdout.write(f"  {unreadable}: {status.unreadable}")
            return
        for table in (tables.of_streams, tables.of_subscriptions, tables.of_subscribers, tables.of_queues):
            self._table(table(status))

    def _table(self, table: Table) -> None:
        if not table.rows:
            return
        rows = [table.headers, *table.rows]
        widths = [max(len(str(cell)) for cell in column) for column in zip(*rows, strict=True)]
        for first, *rest in rows:
            cells = "  ".join(self._cell(cell, width) for cell, width in zip(rest, widths[1:], strict=True))
            self.stdout.write(f"  {str(first).ljust(widths[0])}  {cells}")

    def _cell(self, cell: object, width: int) -> str:
        padding = " " * (width - len(str(cell)))
        return padding + (colours.paint(self.style, cell) if isinstance(cell, Shown) else str(cell))


def _as_dict(status: ModuleStatus) -> dict[str, Any]:
    """All fields, and the derived properties."""
    subscriptions = [
        {
            "name": each.name,
            "state": states.of_subscription(each).state.value,
            "cursors": [{**asdict(cursor), "state": cursor.state.value, "lag": cursor.lag} for cursor in each.cursors],
        }
        for each in status.subscriptions
    ]
    streams = [{**asdict(stream), "retained": stream.retained, "backlog": stream.backlog} for stream in status.streams]
    return {**asdict(status), "backlog": status.backlog, "streams": streams, "subscriptions": subscriptions}
