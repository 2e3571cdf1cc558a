"""`manage.py snapshot orders.product`: publish the present rows of a captured model."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from pangaea import modules
from pangaea.change_capture import snapshot
from pangaea.change_capture.declaration import Capture
from pangaea.errors import Misuse
from pangaea.health import missing_processes


class Command(BaseCommand):
    """Continues where an interrupted run stopped. Rows may change while it runs."""

    help = "Publish the present rows of a captured model, for subscribers that lack them."

    def add_arguments(self, parser: CommandParser) -> None:
        """The model, and the size of a transaction."""
        parser.add_argument("capture", help="<module>.<model>, like orders.product")
        parser.add_argument("--chunk", type=int, default=snapshot.CHUNK, help="rows per transaction (%(default)s)")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Publish and show the progress."""
        if options["chunk"] < 1:
            raise CommandError("--chunk must be at least 1.")
        capture = _named(options["capture"])
        published = 0
        try:
            for progress in snapshot.snapshot(capture, chunk=options["chunk"]):
                published = progress.rows
                self._show(f"{capture.name}: {progress.rows} of {progress.total} rows")
        except Misuse as error:
            raise CommandError(str(error)) from error
        if self.stdout.isatty():
            self.stdout.write()
        self.stdout.write(self.style.SUCCESS(f"{capture.name}: {published} rows published."))
        if missing := missing_processes.for_relay(capture.module):
            self.stderr.write(f"A relay sends them. {missing}")

    def _show(self, text: str) -> None:
        if self.stdout.isatty():
            self.stdout.write(f"\r{text}", ending="")
            self.stdout.flush()


def _named(name: str) -> Capture:
    found: dict[str, Capture] = {
        capture.name: capture for module in modules.installed() for capture in module.load_captures()
    }
    if name not in found:
        raise CommandError(f"There is no capture {name!r}. Declared: {', '.join(sorted(found)) or 'none'}.")
    return found[name]
