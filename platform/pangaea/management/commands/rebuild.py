import sys
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from django.core.management.base import CommandError, CommandParser

from pangaea.inbox.rebuild.cut_over import Differs
from pangaea.inbox.rebuild.rows import Count
from pangaea.management.replaying import ReplayCommand


class Command(ReplayCommand):
    """Workers, relays and readers of the projection continue while it runs."""

    stealth_options = ("stdin",)
    help = "Rebuild a projection from the beginning of its streams in a shadow, then replace the live tables."

    def add_arguments(self, parser: CommandParser) -> None:
        """Whether differing counts are accepted."""
        super().add_arguments(parser)
        parser.add_argument(
            "--accept-difference",
            action="store_true",
            help="replace even where the numbers of rows, or of parked messages, differ",
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        """Rebuild and show the counts."""
        name: str = options["projection"]
        stdin: TextIO = options.get("stdin") or sys.stdin
        accepted: Mapping[str, int] | None = None

        def accept(counts: Sequence[Count]) -> bool:
            return bool(options["accept_difference"]) or _difference(counts) == accepted

        with self.replaying(name) as running:
            counts = None
            while counts is None:
                try:
                    counts = self.drive(running, options, lambda: running.replace(accept=accept))
                except Differs as differs:
                    self._show(differs.counts)
                    if not self._agreed(stdin):
                        text = "The numbers differ, and the projection is left unchanged. Accept: --accept-difference"
                        raise CommandError(text) from None
                    accepted = _difference(differs.counts)
        self._show(counts)
        self.stdout.write(self.style.SUCCESS(f"{name} is rebuilt."))

    def _agreed(self, stdin: TextIO) -> bool:
        if not stdin.isatty():
            return False
        self.stdout.write("Replace the projection nevertheless? [y/N] ", ending="")
        self.stdout.flush()
        return stdin.readline().strip().lower() in {"y", "yes"}

    def _show(self, counts: Sequence[Count]) -> None:
        width = max(len(each.what) for each in counts)
        self.stdout.write(f"{'':{width}}  {'before':>10}  {'after':>10}")
        for each in counts:
            change = f"  {each.after - each.before:+,}" if each.after != each.before else ""
            self.stdout.write(f"{each.what:{width}}  {each.before:>10,}  {each.after:>10,}{change}")


def _difference(counts: Sequence[Count]) -> dict[str, int]:
    return {each.what: each.after - each.before for each in counts}
