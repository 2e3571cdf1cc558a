"""Publish the present rows of a captured model, chunk by chunk, while other transactions change them.

A chunk locks its rows' keys, then reads the rows, and writes their messages before it releases the locks. An earlier
writer of a row has committed by then, so the chunk publishes the latest state; the message of a later writer is
sequenced later. A row that is created meanwhile is published by its own change.
"""

from collections.abc import Generator
from dataclasses import dataclass
from datetime import timedelta

import structlog
from django.db import connections, transaction
from django.utils import timezone

from pangaea.change_capture import triggers
from pangaea.change_capture.declaration import Capture
from pangaea.change_capture.models import Snapshot
from pangaea.databases import engines, errors
from pangaea.databases.errors import PASSING
from pangaea.errors import Misuse

log = structlog.get_logger()

CHUNK = 500
"""Rows per transaction: writers of these keys wait until it ends."""
LOCK_TIMEOUT = timedelta(milliseconds=200)
"""How long a chunk waits for a writer if it is published `in_passing`."""
ATTEMPTS = 5
"""Attempts per chunk: a writer of several keys may lock them in another order, and PostgreSQL may end the chunk's
transaction to resolve the deadlock."""


@dataclass(frozen=True, slots=True)
class Progress:
    """The number of rows published so far, and of all rows when the snapshot began."""

    rows: int
    total: int
    finished: bool


def snapshot(capture: Capture, *, chunk: int = CHUNK, in_passing: bool = False) -> Generator[Progress, None, None]:
    """Publish every row with the op "snapshot". Yields after the commit of each chunk.

    If the capture's last snapshot was interrupted, this one continues it; otherwise it begins at the first row. Raises
    Misuse if the triggers are not as declared, since changes would be missed, and while another snapshot of the capture
    is running.

    `in_passing` is for a process that has other work: rows are not counted, a chunk waits at most LOCK_TIMEOUT for a
    writer, and its failure is raised instead of retried.
    """
    if found := triggers.faults(capture.module, [capture]):
        raise Misuse(f"{capture.name}: {' '.join(found)} {triggers.REMEDY}")
    with engines.of(capture.module).alone(capture.module, f"snapshot {capture.name}") as is_alone:
        if not is_alone:
            raise Misuse(f"Another snapshot of {capture.name} is running; wait until it has finished.")
        total = 0 if in_passing else capture.model._default_manager.using(capture.module).count()
        run = _begin(capture)
        log.info("snapshot started", capture=capture.name, after=run.after, rows=run.rows, total=total)
        while not run.finished_at:
            run = _publish_chunk(capture, chunk, LOCK_TIMEOUT) if in_passing else _retrying(capture, chunk)
            yield Progress(run.rows, max(total, run.rows), bool(run.finished_at))
        log.info("snapshot finished", capture=capture.name, rows=run.rows)


def _begin(capture: Capture) -> Snapshot:
    unfinished = Snapshot.objects.using(capture.module).filter(pk=capture.name, finished_at__isnull=True)
    return unfinished.first() or Snapshot.begin(capture.name, module=capture.module)


def _retrying(capture: Capture, chunk: int) -> Snapshot:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _publish_chunk(capture, chunk)
        except Exception as error:
            if attempt == ATTEMPTS or errors.kind_of(error, capture.module) not in PASSING:
                raise
            log.warning("snapshot chunk retried", capture=capture.name, error=str(error))
            connections[capture.module].close()
    raise AssertionError  # the last attempt returns or raises


def _publish_chunk(capture: Capture, chunk: int, lock_timeout: timedelta | None = None) -> Snapshot:
    alias, connection = capture.module, connections[capture.module]
    pk = capture.model._meta.pk
    dialect = triggers.dialect_of(alias)
    with transaction.atomic(using=alias):
        if lock_timeout is not None:
            engines.of(alias).limit_lock_waits(connection, lock_timeout)
        run = Snapshot.objects.using(alias).select_for_update().get(pk=capture.name)
        rows = capture.model._base_manager.using(alias).order_by("pk")
        if run.after is not None:
            rows = rows.filter(pk__gt=pk.to_python(run.after))
        found = list(rows.values_list("pk", capture.key_field)[:chunk])
        identities, keys = [each for each, _ in found], sorted({str(key) for _, key in found})
        if found:
            engines.of(alias).lock_keys(connection, keys)
            with connection.cursor() as cursor:
                cursor.execute(dialect.snapshot(capture), dialect.parameters(capture, identities, keys))
                run.rows += cursor.rowcount
            run.after = str(identities[-1])
        if len(found) < chunk:
            run.finished_at = timezone.now()
        run.save()
    return run
