"""Counts calls of the API in this process, and adds them to the database in batches: no request waits for that.

A process that is killed loses what it counted in the last FLUSH_INTERVAL; one that is stopped loses nothing. If a
connection breaks at a commit, its batch may be counted twice. The numbers are for decisions, not for bills.
"""

import threading
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime
from itertools import islice
from time import monotonic

import structlog
from django.db import DatabaseError, connections

from pangaea import modules
from pangaea.api import call_counts
from pangaea.api.call_counts import OTHERS, ROWS_PER_STATEMENT, Called

log = structlog.get_logger()

FLUSH_INTERVAL = 5.0
"""Seconds between two flushes."""
PRUNE_INTERVAL = 3_600.0
"""Seconds between two deletions of old rows."""
MOST_CALLERS = 10_000
"""The most rows that a process holds between two flushes, of each module. Calls of further callers have no name."""
STOP_TIMEOUT = 5.0
"""Seconds to wait for a flush that is running when the process stops."""


class CallCounter:
    """The calls that are not in the database yet. Thread-safe."""

    def __init__(self) -> None:
        self._counts: dict[str, Counter[Called]] = {}
        self._lock = threading.Lock()
        self._flushing = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._failing: set[str] = set()
        self._prune_due = monotonic() + PRUNE_INTERVAL

    def count(self, module: str, *, version: str, route: str, subject: str) -> None:
        """Count one call."""
        called = Called(subject, route, datetime.now(UTC).date(), version)
        with self._lock:
            self._add(module, called, 1)

    def flush(self) -> None:
        """Add everything that was counted to the database. What a database does not take is kept for the next flush."""
        with self._flushing:
            with self._lock:
                taken, self._counts = self._counts, {}
            for module, counts in taken.items():
                self._write(module, counts)

    def start(self) -> None:
        """Flush every FLUSH_INTERVAL from now on, in a thread. Only web processes do."""
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name="call counts", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread, and flush a last time. Without a `start` in this process nothing happens."""
        if self._thread is None:
            return
        self._stop.set()
        self._thread.join(timeout=STOP_TIMEOUT)
        self._thread = None
        self.flush()
        connections.close_all()

    def _run(self) -> None:
        while not self._stop.wait(FLUSH_INTERVAL):
            self.flush()
            if monotonic() >= self._prune_due:
                self._prune_due = monotonic() + PRUNE_INTERVAL
                for module in modules.labels():
                    # A database that does not answer is asked again after the interval.
                    with suppress(DatabaseError):
                        call_counts.prune(module)
            connections.close_all()

    def _write(self, module: str, counts: Counter[Called]) -> None:
        try:
            while counts:
                batch = dict(islice(counts.items(), ROWS_PER_STATEMENT))
                call_counts.add(module, batch)
                for called in batch:
                    del counts[called]
        except Exception as error:  # noqa: BLE001 - whatever the error, requests and the thread must go on
            if module not in self._failing:
                log.warning("call counts kept", module=module, error=str(error) or type(error).__name__)
            self._failing.add(module)
            with self._lock:
                for called, number in counts.items():
                    self._add(module, called, number)
        else:
            self._failing.discard(module)

    def _add(self, module: str, called: Called, number: int) -> None:
        held = self._counts.setdefault(module, Counter())
        if called not in held and len(held) >= MOST_CALLERS:
            called = Called(OTHERS, called.route, called.day, called.version)
        held[called] += number


counter = CallCounter()
"""The counter of this process."""
