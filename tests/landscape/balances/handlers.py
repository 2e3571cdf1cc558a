"""Keeps the balances set-wise: one statement per batch."""

from collections.abc import Sequence

from django.db import connections

from pangaea.inbox.subscriptions import Projection
from pangaea.messages import Received
from tests.landscape.balances.acl import Ticked

UPSERT = """
INSERT INTO balances_balance AS mine (key, count, last, published_at)
SELECT key, count(*), max(number), max(published_at)
FROM unnest(%s::text[], %s::bigint[], %s::timestamptz[]) AS new(key, number, published_at)
GROUP BY key ORDER BY key
ON CONFLICT (key) DO UPDATE
SET count = mine.count + excluded.count, last = excluded.last, published_at = excluded.published_at
"""

ticks = Projection("balances.ticks")


@ticks.on_batch(Ticked)
def count(messages: Sequence[Received[Ticked]]) -> None:
    """Add these messages to the balances."""
    with connections["balances"].cursor() as cursor:
        cursor.execute(
            UPSERT,
            [
                [message.key for message in messages],
                [message.payload.number for message in messages],
                [message.payload.at for message in messages],
            ],
        )
