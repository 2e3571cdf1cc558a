"""A round of a worker's timer: at each DEAD_LETTER_POLL, for each of its modules, in turn with the batches."""

from time import monotonic

from pangaea.inbox.dead_letters import discarding, redrive

PRUNE_INTERVAL = 60.0
"""Seconds until records are pruned again, after a pass that left nothing to delete."""

_prune_due: dict[str, float] = {}
"""When each module's records of discarded letters are to be pruned again, by `time.monotonic`."""


def run_round(module: str) -> None:
    """Retry the module's letters that are due, and delete old records of discarded letters."""
    redrive.retry_due(module)
    if monotonic() >= _prune_due.get(module, 0.0):
        pause = 0.0 if discarding.prune(module).unfinished else PRUNE_INTERVAL
        _prune_due[module] = monotonic() + pause
