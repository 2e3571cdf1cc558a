"""`manage.py relay`: send the modules' outboxes to the bus."""

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

    help = "Send the outboxes of the installed modules to the bus, until stopped."

    def add_arguments(self, parser: CommandParser) -> None:
        """The modules."""
        parser.add_argument("--module", action="append", default=[], help="only this module (repeatable)")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Run the relays."""
        try:
            labels = modules.selected(options["module"])
        except LookupError as error:
            raise CommandError(str(error)) from error
        stop = threading.Event()
        signals.set_on_signal(stop)
        # Each check waits while its database does not answer; a signal skips the remaining ones.
        checked = takewhile(lambda _: not stop.is_set(), labels)
        if faults := [fault for label in checked for fault in _faults(label)]:
            raise CommandError(" ".join([*faults, triggers.REMEDY]))
        relay.run_relays(labels, stop)


def _faults(label: str) -> list[str]:
    """The faults of the triggers; none while the database does not answer, because the relay waits for it."""
    with suppress(DatabaseError):
        return triggers.faults(label)
    return []
