"""What `rebuild` and `reconcile` have in common: find the projection, fill its shadow, wait for equal cursors."""

import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from kombu.exceptions import OperationalError

from pangaea import modules
from pangaea.broker import celery_app, sending, topology
from pangaea.databases.errors import Kind, kind_of
from pangaea.errors import Misconfigured, Misuse, first_line
from pangaea.health import missing_processes
from pangaea.inbox.rebuild import replay as rebuild
from pangaea.inbox.rebuild.cut_over import Refused
from pangaea.inbox.rebuild.replay import CONNECTION_LOST, Replay, Send
from pangaea.inbox.subscriptions import Projection
from pangaea.management.progress import Bar
from pangaea.messages import module_of
from pangaea.outbox import replay
from pangaea.wire import CatchUp

T = TypeVar("T")

PAUSE = 0.05
"""Seconds between two checks of how far the shadow has read."""
RESUME_PAUSE = 0.2
"""Seconds between two attempts to reach a database that does not answer."""
PROGRESS_TIMEOUT = 120.0
"""The default of --patience, in seconds."""
HINT_AFTER = 5.0
"""Seconds without progress until the command prints which process may be missing."""


class ReplayCommand(BaseCommand):
    """A command on one projection. `stderr` gets the progress, `stdout` the result."""

    def __init__(self, *args: Any, send: Send | None = None, **kwargs: Any) -> None:
        """`send` sends catch-up requests to producers; the default sends them over the bus."""
        super().__init__(*args, **kwargs)
        self._send = send or ask_producers

    def add_arguments(self, parser: CommandParser) -> None:
        """The projection, and the longest wait."""
        parser.add_argument("projection", help="its name: <module>.<projection>")
        parser.add_argument(
            "--patience",
            type=float,
            default=PROGRESS_TIMEOUT,
            help="give up after this many seconds without progress (default: %(default)g)",
        )

    @contextmanager
    def replaying(self, name: str) -> Iterator[Replay]:
        """A replay of that projection. A refusal, raised here or in the block, becomes a CommandError."""
        # By default SIGTERM ends the process without clean-up. This handler raises KeyboardInterrupt, as Ctrl-C does.
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            with rebuild.replaying(self._find(name), self._send) as running:
                yield running
        except (Refused, Misuse, Misconfigured, OperationalError) as error:
            raise CommandError(str(error)) from error
        except CONNECTION_LOST as error:
            if kind_of(error) is Kind.OUTDATED:
                raise
            raise CommandError(_away(name, error)) from error
        except KeyboardInterrupt:
            raise CommandError("Interrupted. The projection is unchanged.", returncode=130) from None
        finally:
            signal.signal(signal.SIGTERM, before)

    def drive(self, running: Replay, options: Mapping[str, Any], attempt: Callable[[], T | None]) -> T:
        """Fill the shadow, and call `attempt` whenever the shadow has nearly caught up, until it returns a result.

        Prints which process may be missing after HINT_AFTER seconds without progress, once per standstill. Raises
        Refused after `--patience` seconds in which neither the shadow nor a worker made progress.
        """
        name, patience = options["projection"], options["patience"]
        bar = Bar(self.stderr, f"replaying {name}")
        reached, since, worked, hinted = -1, time.monotonic(), None, False
        while True:
            try:
                progress = running.advance()
                if progress.nearly_caught_up and (result := attempt()) is not None:
                    bar.finish(progress.applied, progress.known)
                    return result
                bar.show(progress.applied, progress.known)
                if progress.applied != reached:
                    reached, since, worked, hinted = progress.applied, time.monotonic(), running.activity(), False
                elif time.monotonic() - since > patience:
                    # A worker that is still busy with earlier batches is no reason to give up.
                    before, worked = worked, running.activity()
                    if worked == before:
                        text = f"No message was applied for {patience:g} s. {self._missing(name)}"
                        raise Refused(f"{text} The projection is unchanged.")
                    since = time.monotonic()
                elif not hinted and time.monotonic() - since > HINT_AFTER:
                    hinted = True
                    bar.interrupt(f"No message was applied for {HINT_AFTER:g} s. {self._missing(name)} Still waiting.")
            except CONNECTION_LOST as error:
                self._resume(running, error, until=since + patience)
            time.sleep(PAUSE)

    def _resume(self, running: Replay, error: Exception, *, until: float) -> None:
        """Wait until the database answers again. Raises its last error once the moment `until` has passed."""
        self.stderr.write(f"The database does not answer: {first_line(error)}. Waiting for it.")
        while time.monotonic() < until:
            time.sleep(RESUME_PAUSE)
            try:
                if running.resume():
                    return
            except CONNECTION_LOST as again:
                error = again
        raise error

    def _missing(self, name: str) -> str:
        projection = self._find(name)
        return missing_processes.for_replay(projection.module, projection.sources)

    def _find(self, name: str) -> Projection:
        for module in modules.installed():
            for subscription in module.load_subscriptions():
                if subscription.name == name:
                    return rebuild.replayable(subscription)
        known = [
            subscription.name
            for module in modules.installed()
            for subscription in module.load_subscriptions()
            if subscription.replayable
        ]
        raise Refused(f"There is no projection {name!r} in this process. There are: {', '.join(known) or 'none'}.")


def ask_producers(requests: Sequence[CatchUp]) -> None:
    """Send catch-up requests to their producers. Raises kombu's OperationalError when the broker is down."""
    if settings.PANGAEA.broker_url.startswith("memory"):
        # This bus is inside the process of `runserver`, whose relay finds the requests in the database.
        for request in requests:
            if request.source in modules.labels():
                replay.ask(request.source, request)
        return
    app = celery_app.app()
    topology.declare(app)
    sending.send_requests(app, requests)


def _away(name: str, error: Exception) -> str:
    return (
        f"The database of {module_of(name)} does not answer: {first_line(error)}. The projection is unchanged, or was "
        "replaced as a whole. Run the command again."
    )
