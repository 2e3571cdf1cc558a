"""Attempts are recorded before handlers run, so that a message that crashes its process is found.

Each subscription and stream has one row, committed in its own transaction. It covers the messages after a position of
the cursor, and is written again when they have been applied, or when the next batch does not follow the last one. An
attempt counts as a crash if another attempt begins at a position that it covers, and this process does not know that it
returned. CRASHES_AT_MOST crashes at one position of the cursor make the batch suspected. A broker's count of
deliveries is no substitute: the same positions may come in another batch.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from uuid import uuid4

from django.db import connections

from pangaea.databases import engines
from pangaea.inbox.delivery import Delivery
from pangaea.inbox.models import Attempt as Row

AHEAD = 1000
"""Number of messages after a batch that its row also covers, as long as each batch follows the one before."""

_BEGIN = """
INSERT INTO pangaea_attempt (subscription, source, audience, partition, position, until, number, alone, token)
SELECT %s, %s, %s, %s, reached.position, %s, 1, FALSE, %s
FROM (
    SELECT COALESCE(MAX(position), 0) AS position, COALESCE(MAX(state), 'active') AS state FROM pangaea_cursor
    WHERE subscription = %s AND source = %s AND audience = %s AND partition = %s
) AS reached
WHERE reached.state = 'active' AND reached.position BETWEEN %s AND %s
ON CONFLICT (subscription, source, audience, partition) DO UPDATE SET
    position = excluded.position,
    until = excluded.until,
    number = CASE WHEN pangaea_attempt.position = excluded.position
                  THEN pangaea_attempt.number + CASE WHEN pangaea_attempt.token = %s THEN 0 ELSE 1 END
                  WHEN pangaea_attempt.token <> %s AND excluded.position > pangaea_attempt.position
                       AND excluded.position < pangaea_attempt.until THEN 2
                  ELSE 1 END,
    alone = pangaea_attempt.position = excluded.position AND pangaea_attempt.token <> %s AND pangaea_attempt.alone,
    token = excluded.token
RETURNING position, number, alone
"""

_Stream = tuple[str, str, str, int]
_survived: dict[_Stream, str] = {}
"""Per stream: the token of this process's last attempt that returned, with or without an error."""
_covering: dict[_Stream, "Attempt"] = {}
"""Per stream: the last attempt, if all its batches so far were applied. It covers the next batches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """The `number`-th attempt, without progress, at the messages after `position`.

    `last` is the position of the batch's last message; messages up to `until` need no other attempt. `crashed_at` is
    the position of the message that was handled alone when the last process crashed; None if none was.
    """

    module: str
    stream: _Stream
    token: str
    position: int
    last: int
    until: int
    number: int
    crashed_at: int | None

    @property
    def crashes(self) -> int:
        """How many processes crashed in earlier attempts."""
        return self.number - 1

    def narrow(self, position: int) -> None:
        """Record that the message at this position is handled alone."""
        subscription, source, audience, partition = self.stream
        Row.objects.using(self.module).filter(
            subscription=subscription, source=source, audience=audience, partition=partition
        ).update(position=position - 1, until=position, alone=True, token=self.token)


def begin(delivery: Delivery) -> Attempt | None:
    """Record an attempt at a batch. None if the batch lacks the cursor's next message: then no handler runs."""
    if not delivery.messages:
        return None
    stream, first, last = delivery.stream, delivery.messages[0].position, delivery.messages[-1].position
    # Removed until this batch has been applied too: a process that is about to end must not rely on it.
    before = _covering.pop(stream, None)
    if before and first == before.last + 1 and last <= before.until:
        _survived.pop(stream, None)
        return replace(before, last=last)
    token, known = uuid4().hex, _survived.get(stream, "")
    until = last + AHEAD
    values = [*stream, until, token, *stream, first - 1, last - 1, known, known, known]
    rows = engines.of(delivery.module).rows(connections[delivery.module], _BEGIN, *values)
    if not rows:
        return None
    position, number, alone = rows[0]
    return Attempt(
        module=delivery.module,
        stream=stream,
        token=token,
        position=position,
        last=last,
        until=until,
        number=number,
        crashed_at=position + 1 if alone else None,
    )


@contextmanager
def surviving(attempt: Attempt | None) -> Iterator[None]:
    """Remember that the attempt returned in this process. A BaseException does not count: it ends the process."""
    try:
        yield
    except Exception:
        if attempt:
            _survived[attempt.stream] = attempt.token
        raise
    if attempt:
        _survived[attempt.stream] = attempt.token
        _covering[attempt.stream] = replace(attempt, number=1, crashed_at=None)
