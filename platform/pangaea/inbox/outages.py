"""The outages of a module's database, logged once each, however many batches, retries and requests fail by them."""

from dataclasses import dataclass
from time import monotonic

import structlog

from pangaea.databases.errors import Kind, kind_of

log = structlog.get_logger()

OUTAGE_KINDS = frozenset({Kind.UNAVAILABLE, Kind.BROKEN})
FORGOTTEN_AFTER = 60.0
"""Seconds without a failure or a success after which a failure counts as another outage."""


@dataclass(slots=True)
class _Outage:
    began: float
    last_failure: float


_outages: dict[str, _Outage] = {}
"""By module. A worker applies its batches in one process, one after the other."""


def note(module: str, error: BaseException) -> bool:
    """Log that the module's database is lost, unless this outage is logged. False if the error shows no outage."""
    kind, now = kind_of(error, module), monotonic()
    if kind is None or kind not in OUTAGE_KINDS:
        return False
    known = _outages.get(module)
    if known is not None and now - known.last_failure < FORGOTTEN_AFTER:
        known.last_failure = now
        return True
    _outages[module] = _Outage(now, now)
    log.warning("database lost", module=module, reason=kind.value, error=str(error).strip())
    return True


def end(module: str) -> None:
    """Log that the module's database is recovered, after a transaction that wrote to it."""
    if known := _outages.pop(module, None):
        log.info("database recovered", module=module, after_seconds=round(monotonic() - known.began, 1))
