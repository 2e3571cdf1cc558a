import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from pangaea import modules
from pangaea.broker.queue_status import QueueStatus
from pangaea.health import concerns, stream_status
from pangaea.health.stream_status import ModuleStatus, SubscriptionStatus
from pangaea.management import resuming
from pangaea.management.replaying import ask_producers

STREAMS = ("publishes to", "head", "sent", "floor", "retained", "waiting", "oldest unsent")
SUBSCRIPTIONS = ("subscription", "cursor", "lag", "parked", "dead", "state")
SUBSCRIBERS = ("subscriber", "lag", "last report")
QUEUES = ("queue", "batches", "consumers")


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
            self.stdout.write(self.style.ERROR(f"  cannot be read: {status.unreadable}"))
            return
        self._table(STREAMS, _stream_rows(status))
        self._table(SUBSCRIPTIONS, _subscription_rows(status))
        self._table(SUBSCRIBERS, [[each.name, each.lag, _age(each.reported_at)] for each in status.subscribers])
        self._table(QUEUES, [_queue(each) for each in status.queues])

    def _table(self, headers: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        if not rows:
            return
        cells = [list(headers), *([str(cell) for cell in row] for row in rows)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        for first, *rest in cells:
            numbers = "  ".join(cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))
            self.stdout.write(f"  {first.ljust(widths[0])}  {numbers}")


def _as_dict(status: ModuleStatus) -> dict[str, Any]:
    """All fields, and the derived properties."""
    subscriptions = [
        {
            "name": each.name,
            "cursors": [{**asdict(cursor), "state": cursor.state.value, "lag": cursor.lag} for cursor in each.cursors],
        }
        for each in status.subscriptions
    ]
    streams = [{**asdict(stream), "retained": stream.retained, "backlog": stream.backlog} for stream in status.streams]
    return {**asdict(status), "backlog": status.backlog, "streams": streams, "subscriptions": subscriptions}


def _stream_rows(status: ModuleStatus) -> list[list[object]]:
    rows: list[list[object]] = []
    for audience in sorted({stream.audience for stream in status.streams} | status.unsequenced.keys()):
        own = [stream for stream in status.streams if stream.audience == audience]
        unsequenced = status.unsequenced.get(audience, 0)
        unsent = [stream.oldest_unsent for stream in own if stream.oldest_unsent]
        if unsequenced and status.oldest_unsequenced:
            unsent.append(status.oldest_unsequenced)
        rows.append(
            [
                audience,
                sum(stream.head for stream in own),
                sum(stream.sent for stream in own),
                sum(stream.floor for stream in own),
                sum(stream.retained for stream in own) + unsequenced,
                sum(stream.backlog for stream in own) + unsequenced,
                _age(min(unsent, default=None)),
            ]
        )
    return rows


def _subscription_rows(status: ModuleStatus) -> list[list[object]]:
    return [
        [
            each.name,
            sum(cursor.position for cursor in each.cursors),
            each.lag,
            each.parked,
            each.dead,
            _state(each),
        ]
        for each in status.subscriptions
    ]


def _state(subscription: SubscriptionStatus) -> str:
    awaits = ["awaits a snapshot"] if any(each.awaits_snapshot for each in subscription.cursors) else []
    return ", ".join([*(state.value for state in subscription.states), *awaits]) or "no cursor"


def _queue(queue: QueueStatus) -> list[object]:
    consumers = "unknown" if queue.consumers is None else queue.consumers
    return [queue.name, queue.batches if queue.exists else "missing", consumers]


def _age(moment: datetime | None) -> str:
    return f"{(timezone.now() - moment).total_seconds():.0f} s ago" if moment else "-"
