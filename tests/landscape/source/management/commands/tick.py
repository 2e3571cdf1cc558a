"""`manage.py tick`: publish ticks, in transactions of a given size, at a given rate or as fast as possible."""

import random
import time
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import OperationalError, connections, transaction

from pangaea import outbox
from tests.landscape.source.messages import Ticked


class Command(BaseCommand):
    """One writer. Its keys are drawn at random; within a key its numbers grow by one."""

    help = "Publish ticks."

    def add_arguments(self, parser: CommandParser) -> None:
        """How many, of how many keys, how fast."""
        parser.add_argument("--count", type=int, required=True)
        parser.add_argument("--keys", type=int, default=1000)
        parser.add_argument("--writer", type=int, default=1)
        parser.add_argument("--rate", type=float, default=0, help="messages per second; 0: as fast as possible")
        parser.add_argument("--transaction", type=int, default=1, help="messages in one transaction")
        parser.add_argument("--filler", type=int, default=100, help="bytes of payload that no subscriber reads")

    def handle(self, **options: Any) -> None:
        """Publish them. A transaction that fails while the database restarts is repeated."""
        drawn = random.Random(options["writer"])
        numbers = dict.fromkeys(range(options["keys"]), 0)
        started, published = time.monotonic(), 0
        while published < options["count"]:
            keys = sorted(
                drawn.randrange(options["keys"])
                for _ in range(min(options["transaction"], options["count"] - published))
            )
            self._publish(keys, numbers, options)
            published += len(keys)
            if options["rate"]:
                time.sleep(max(0.0, started + published / options["rate"] - time.monotonic()))
        self.stdout.write(f"{published} ticks in {time.monotonic() - started:.2f} s")

    def _publish(self, keys: list[int], numbers: dict[int, int], options: dict[str, Any]) -> None:
        while True:
            attempt = dict(numbers)
            try:
                with transaction.atomic(using="source"):
                    for key in keys:
                        attempt[key] += 1
                        tick = Ticked(
                            writer=options["writer"],
                            number=attempt[key],
                            at=datetime.now(UTC),
                            filler="x" * options["filler"],
                        )
                        outbox.publish(tick, key=f"key-{key}")
            except OperationalError as error:
                self.stderr.write(f"repeated: {error}")
                connections["source"].close()
                time.sleep(0.2)
            else:
                numbers.update(attempt)
                return
