"""Work on a module's database, retried while its errors are transient (`pangaea.databases.errors`).

It is retried in place, with the broker's message unacknowledged: a requeued message would arrive after later ones.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import TypeVar

import structlog
from django.conf import settings
from django.db import connections

from pangaea.backoff import Backoff
from pangaea.databases import errors, migration_state, outages
from pangaea.databases.errors import Kind
from pangaea.errors import PangaeaError

log = structlog.get_logger()
T = TypeVar("T")

BATCH_TIME_LIMIT = 120.0
"""Seconds after which a batch whose parts wait for the database is given up; applied parts stay applied. The message in
progress may add several time-outs. The sum is less than JOB_TIME_LIMIT, at which a crash would be counted."""

TRANSIENT = Backoff(first=0.05, longest=2.0)
"""The pauses between two tries."""


class GivenUp(PangaeaError):
    """A batch has waited too long for its database. Its remaining messages are a gap, and are requested again."""


@dataclass(slots=True)
class Tries:
    """The time that one batch, with all its parts, may spend on retries. Not thread-safe."""

    alias: str
    began: float
    until: float
    is_of_shadow: bool = False
    """Whether the batch is for a shadow. A shadow waits neither for migrations nor for an unavailable database: if its
    tables are missing, or on SQLite its file, it has been removed, and batches for the live tables must not wait. A
    batch that the shadow misses is a gap."""
    logged: bool = False

    @classmethod
    def begin(cls, alias: str, *, is_of_shadow: bool = False) -> "Tries":
        """Start the time for retries, which is TRANSIENT_RETRY."""
        now = monotonic()
        return cls(alias, now, now + settings.PANGAEA.transient_retry.total_seconds(), is_of_shadow)

    def check(self) -> None:
        """Raise GivenUp if the batch began more than BATCH_TIME_LIMIT ago."""
        if monotonic() > self.began + BATCH_TIME_LIMIT:
            text = f"The database of {self.alias} made the batch wait for more than {BATCH_TIME_LIMIT:.0f} s."
            raise GivenUp(text)

    def run(self, work: Callable[[], T], *, costly: int | None = None) -> T:
        """The result of the work, which is repeated as long as its errors are transient and time is left.

        `costly`: how often the work may fail by a time-out, or by a connection that broke for an unknown reason; the
        work itself may be the cause of either. Raises the last error, or GivenUp if this code and the database still
        differ in their migrations.
        """
        failures = 0
        while True:
            try:
                return work()
            except Exception as error:
                failures += 1
                pause = TRANSIENT.jittered(failures)
                kind = errors.kind_of(error, self.alias)
                if kind in {Kind.TIMED_OUT, Kind.BROKEN} and costly is not None:
                    costly -= 1
                in_time = monotonic() + pause <= self.until
                if not in_time:  # too little is left for a pause; no other part may use it either
                    self.until = self.began
                if self.is_of_shadow and kind is Kind.UNAVAILABLE:
                    raise
                waits = kind is Kind.OUTDATED and not self.is_of_shadow
                if waits and (fault := migration_state.mismatch(self.alias)):
                    if not in_time:
                        raise GivenUp(f"{fault} ({error})") from error
                elif kind not in errors.PASSING or not in_time or costly == 0:
                    raise
                self._log(kind, error, failures)
                if not connections[self.alias].in_atomic_block:
                    connections[self.alias].close()
                time.sleep(pause)

    def outcome(self, work: Callable[[], T], *, costly: int) -> tuple[T | None, Exception | None]:
        """The result of the work, or the error that ends it, which one message may have caused. Raises GivenUp."""
        try:
            return self.run(work, costly=costly), None
        except GivenUp:
            raise
        except Exception as error:  # noqa: BLE001 - a handler may raise anything
            return None, error

    def _log(self, kind: Kind | None, error: Exception, failures: int) -> None:
        if kind is Kind.UNAVAILABLE and failures == 1:
            # A connection that was opened while the database was read-only stays so; the next one shows whether it is.
            return
        if not outages.note(error, self.alias) and not self.logged:
            reason = kind.value if kind else ""
            log.warning("database error retried", module=self.alias, reason=reason, error=str(error).strip())
            self.logged = True
