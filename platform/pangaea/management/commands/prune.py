from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from pangaea import modules
from pangaea.api import call_counts, idempotency_records
from pangaea.inbox.dead_letters import discarding
from pangaea.outbox import retention, subscribers


class Command(BaseCommand):
    """Prunes at once. The leading relay prunes the history, and the worker the discarded letters, once per minute.

    Every relay prunes idempotency records, and every web process, once per hour, the counts of API calls.
    """

    help = "Delete old history that every subscriber has taken, discarded letters, idempotency records, API calls."

    def add_arguments(self, parser: CommandParser) -> None:
        """The modules, and the subscriptions to forget."""
        parser.add_argument("--module", action="append", default=[], help="only this module (repeatable)")
        parser.add_argument(
            "--forget",
            action="append",
            default=[],
            metavar="SUBSCRIPTION",
            help="first forget this subscription, which will not return: no history waits for it then (repeatable)",
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        """Prune until nothing is left that may be deleted."""
        try:
            labels = modules.selected(options["module"])
        except LookupError as error:
            raise CommandError(str(error)) from error
        for subscription in options["forget"]:
            if not sum(subscribers.forget(label, subscription) for label in labels):
                raise CommandError(f"{subscription} has not reported to {', '.join(labels)}; see `manage.py streams`.")
        for label in labels:
            messages, letters, keys, unfinished = 0, 0, 0, True
            while unfinished:
                history, records = retention.prune(label), discarding.prune(label)
                idempotency = idempotency_records.prune(label)
                messages, letters = messages + history.messages, letters + records.letters
                keys += idempotency.keys
                unfinished = history.unfinished or records.unfinished or idempotency.unfinished
            calls = call_counts.prune(label)
            self.stdout.write(
                f"{label}: {messages} messages, {letters} discarded letters, {keys} idempotency records and {calls} "
                "counts of API calls deleted"
            )
