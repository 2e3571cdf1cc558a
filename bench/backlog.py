"""A backlog that is committed at once: rows as `publish` would have written them."""

import random
from datetime import UTC, datetime
from typing import Any

import msgspec
import psycopg

from pangaea.ids import uuid7
from pangaea.messages import ALL
from pangaea.wire import Envelope
from tests.landscape.source.messages import Ticked

KEYS = 1000


def commit(connection: "psycopg.Connection[Any]", count: int, *, seed: int = 1) -> None:
    """Write that many messages into the outbox of `source`, in one transaction, and wake its relay."""
    drawn = random.Random(seed)
    numbers = dict.fromkeys(range(KEYS), 0)
    statement = "COPY pangaea_outbox (message_id, audience, key, name, body, created_at) FROM STDIN"
    with connection.transaction(), connection.cursor() as cursor, cursor.copy(statement) as copy:
        for _ in range(count):
            key = drawn.randrange(KEYS)
            numbers[key] += 1
            moment = datetime.now(UTC)
            tick = Ticked(writer=seed, number=numbers[key], at=moment, filler="x" * 100)
            envelope = Envelope(
                id=uuid7(),
                source="source",
                type=Ticked.wire_name,
                subject=f"key-{key}",
                time=moment,
                schemaversion=Ticked.version,
                correlationid="bench",
                data=msgspec.Raw(msgspec.json.encode(tick)),
            )
            body = msgspec.json.encode(envelope).decode()
            copy.write_row((envelope.id, ALL, f"key-{key}", Ticked.wire_name, body, moment))
    connection.execute("NOTIFY pangaea_outbox_source")
