from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from pangaea import modules
from pangaea.outbox import retention, subscribers


class Command(BaseCommand):
    """The leading relay does the same, once a minute."""

    help = "Delete history that is older than the modules keep it and that every subscriber has taken."

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
        """Prune until nothing is left to do."""
        try:
            labels = modules.selected(options["module"])
        except LookupError as error:
            raise CommandError(str(error)) from error
        for subscription in options["forget"]:
            if not sum(subscribers.forget(label, subscription) for label in labels):
                raise CommandError(f"{subscription} has not reported to {', '.join(labels)}; see `manage.py streams`.")
        for label in labels:
            messages = letters = 0
            while True:
                pruned = retention.prune(label)
                messages, letters = messages + pruned.messages, letters + pruned.letters
                if not pruned.unfinished:
                    break
            self.stdout.write(f"{label}: {messages} messages and {letters} discarded letters deleted")
