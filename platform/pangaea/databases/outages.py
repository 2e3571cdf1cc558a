"""The outages of a database, logged once each, however many requests, batches and retries fail by them."""

import threading
from dataclasses import dataclass
from time import monotonic

import structlog

from pangaea.databases.errors import Kind, alias_of, kind_of

log = structlog.get_logger()

OUTAGE_KINDS = frozenset({Kind.UNAVAILABLE, Kind.BROKEN})
FORGOTTEN_AFTER = 60.0
"""Seconds without a failure after which a failure counts as another outage."""


@dataclass(slots=True)
class _Outage:
    began: float
    last_failure: float


_outages: dict[str, _Outage] = {}
"""The outages that this process has logged, by alias."""
_guard = threading.Lock()


def note(error: BaseException, alias: str | None = None) -> bool:
    """Log that a database is lost, unless its outage is logged. False if the error shows no outage of the alias.

    Without `alias` it is the outage of any database.
    """
    kind, now = kind_of(error, alias), monotonic()
    alias = alias or alias_of(error)
    if alias is None or kind is None or kind not in OUTAGE_KINDS:
        return False
    with _guard:
        known = _outages.get(alias)
        if known is not None and now - known.last_failure < FORGOTTEN_AFTER:
            known.last_failure = now
            return True
        _outages[alias] = _Outage(now, now)
    log.warning("database lost", database=alias, reason=kind.value, error=str(error).strip())
    return True


def end(alias: str) -> None:
    """Log that the database is recovered, after a transaction that wrote to it."""
    if not _outages:
        return
    with _guard:
        known = _outages.pop(alias, None)
    if known:
        log.info("database recovered", database=alias, after_seconds=round(monotonic() - known.began, 1))


def forget() -> None:
    """Forget all outages, as if every database had been recovered."""
    _outages.clear()
