"""Attempts are written down before handlers run, so that a message is found at which the process crashes.

One row for each subscription and stream, committed on its own: from this position of the cursor on, this many messages.
It is written again when they are through, or when what comes is not what follows. An attempt counts as a crash if
another one begins within it, and no process knows that the first came back; three crashes at one position of the
cursor make the batch suspected. A broker's count of deliveries does not serve: the same positions may come in another
message.
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
"""Messages after a batch that need no further write, if they come one batch after another."""

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
"""The last attempt of this process at each stream that came back, with effects or with an error."""
_in_flight: dict[_Stream, "Attempt"] = {}
"""The last attempt at each stream whose batches all had their effects."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """An attempt at the messages after `position`, the `number`-th without progress; `last` is the batch's last one.

    What follows up to `until` needs no other one. `crashed_at` is the position of the message that was handled alone
    when the last process ended.
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
        """How many processes ended in earlier attempts."""
        return self.number - 1

    def narrow(self, position: int) -> None:
        """Write down that from here on this message alone is handled."""
        subscription, source, audience, partition = self.stream
        Row.objects.using(self.module).filter(
            subscription=subscription, source=source, audience=audience, partition=partition
        ).update(position=position - 1, until=position, alone=True, token=self.token)


def begin(delivery: Delivery) -> Attempt | None:
    """Write down an attempt at a batch; None if no message of it is the cursor's next, so that no handler will run."""
    if not delivery.messages:
        return None
    stream, first, last = delivery.stream, delivery.messages[0].position, delivery.messages[-1].position
    # Not there until this batch, too, has come back: a process that is about to end has nothing in flight.
    before = _in_flight.pop(stream, None)
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
    """Remember that this process came back from the attempt, unless it is about to end: by a BaseException."""
    try:
        yield
    except Exception:
        if attempt:
            _survived[attempt.stream] = attempt.token
        raise
    if attempt:
        _survived[attempt.stream] = attempt.token
        _in_flight[attempt.stream] = replace(attempt, number=1, crashed_at=None)
