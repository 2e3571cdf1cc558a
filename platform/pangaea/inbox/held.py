"""A subscription's cursor under its lock: read, asked about, moved. Every batch passes here, hence SQL by hand."""

from django.db import connections

from pangaea.databases import engines
from pangaea.databases.rows import columns, instances
from pangaea.inbox.models import Cursor
from pangaea.inbox.subscriptions import Subscription
from pangaea.wire import Batch

_SELECT = """
SELECT {} FROM pangaea_cursor WHERE subscription = %s AND source = %s AND audience = %s AND partition = %s
"""
_PARKED = """
SELECT DISTINCT key FROM pangaea_dead_letter
WHERE subscription = %s AND source = %s AND audience = %s AND partition = %s AND key
"""
_MOVE = """
UPDATE pangaea_cursor
SET position = %s, message_id = %s, head = %s, waiting_since = %s, updated_at = CURRENT_TIMESTAMP WHERE id = %s
"""


def look(subscription: Subscription, batch: Batch) -> Cursor | None:
    """The cursor as it stands, without its lock; None before the first batch of its stream."""
    return _find(subscription, batch, _SELECT)


def lock(subscription: Subscription, batch: Batch, keys: set[str]) -> tuple[Cursor, set[str]]:
    """The cursor, locked until the end of the transaction, and those of the keys of which a message is parked there.

    A message is parked under this lock, so the keys are asked for when it is held: by a statement of their own.
    """
    connection = connections[subscription.module]
    select = f"{_SELECT} FOR UPDATE" if connection.features.has_select_for_update else _SELECT
    cursor = _find(subscription, batch, select)
    if cursor is None:
        begin(subscription, batch)
        return lock(subscription, batch, keys)
    engine = engines.of(subscription.module)
    among, value = engine.any_of(keys)
    stopped = engine.rows(connection, _PARKED + among, *_place(subscription, batch), value)
    return cursor, {key for (key,) in stopped}


def begin(subscription: Subscription, batch: Batch) -> None:
    """Create the cursor, if there is none: where the stream begins, or before this batch for one that begins now."""
    place = dict(zip(("subscription", "source", "audience", "partition"), _place(subscription, batch), strict=True))
    cursor = Cursor(**place)
    if subscription.begins == "now":
        cursor.position, cursor.message_id = batch.first - 1, batch.before
    Cursor.objects.using(subscription.module).bulk_create([cursor], ignore_conflicts=True)


def move(cursor: Cursor) -> None:
    """Write position, id and head, and since when messages wait."""
    connection = connections[str(cursor._state.db)]
    cursor.note_waiting()
    message_id = cursor.message_id.hex if cursor.message_id else None
    since = connection.ops.adapt_datetimefield_value(cursor.waiting_since)
    engines.of(connection.alias).rows(connection, _MOVE, cursor.position, message_id, cursor.head, since, cursor.pk)


def _find(subscription: Subscription, batch: Batch, select: str) -> Cursor | None:
    connection = connections[subscription.module]
    rows = engines.of(subscription.module).rows(
        connection, select.format(columns(Cursor)), *_place(subscription, batch)
    )
    return instances(Cursor, connection.alias, rows)[0] if rows else None


def _place(subscription: Subscription, batch: Batch) -> tuple[str, str, str, int]:
    return subscription.name, batch.source, batch.audience, batch.partition
