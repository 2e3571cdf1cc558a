"""`manage.py worker`: consume the installed modules' queues."""

from itertools import takewhile
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from pangaea import modules
from pangaea.broker import celery_app
from pangaea.inbox import resuming
from pangaea.processes import signals, worker


class Command(BaseCommand):
    """Runs until SIGTERM. A second worker on RabbitMQ is a standby; on Redis run one worker per queue."""

    help = "Consume the queues of the installed modules, until stopped."

    def add_arguments(self, parser: CommandParser) -> None:
        """The modules or queues."""
        parser.add_argument("--module", action="append", default=[], help="only this module's queues (repeatable)")
        parser.add_argument("--queue", action="append", default=[], help="only this queue, by name (repeatable)")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Run the worker."""
        try:
            names = worker.queue_names(modules.selected(options["module"]))
        except LookupError as error:
            raise CommandError(str(error)) from error
        unknown = set(options["queue"]) - set(names)
        if unknown:
            message = f"No such queue: {', '.join(sorted(unknown))}. There are: {', '.join(names)}."
            raise CommandError(message)
        stop = celery_app.app().stopping
        signals.set_on_signal(stop)
        # Each look-up waits while its database does not answer; a signal skips the remaining ones.
        resuming.name_undeclared(takewhile(lambda _: not stop.is_set(), modules.selected(options["module"])))
        worker.run_worker(options["queue"] or names)
