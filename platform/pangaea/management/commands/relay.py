"""`manage.py relay`: carry the outboxes to the bus."""

import threading
from contextlib import suppress
from itertools import takewhile
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.utils import DatabaseError

from pangaea import modules
from pangaea.change_capture import triggers
from pangaea.processes import relay, signals


class Command(BaseCommand):
    """Runs until SIGTERM. Several may run for a module: one leads, the others stand by."""

    help = "Carry the outboxes of the installed modules to the bus, until stopped."

    def add_arguments(self, parser: CommandParser) -> None:
        """Which modules."""
        parser.add_argument("--module", action="append", default=[], help="only this module (repeatable)")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Run the relays."""
        try:
            labels = modules.selected(options["module"])
        except LookupError as error:
            raise CommandError(str(error)) from error
        stop = threading.Event()
        signals.set_on_signal(stop)
        # Each database that does not answer is waited for.
        asked = takewhile(lambda _: not stop.is_set(), labels)
        if found := [fault for label in asked for fault in _faults(label)]:
            raise CommandError(" ".join([*found, triggers.REMEDY]))
        relay.run_relays(labels, stop)


def _faults(label: str) -> list[str]:
    """What is wrong with the triggers; nothing while the database does not answer, for which the relay waits."""
    with suppress(DatabaseError):
        return triggers.faults(label)
    return []
