"""Attempts are written down before handlers run, so that a process that did not live to tell is missed all the same.

A row for each subscription and stream, committed on its own: from this position of the cursor on, so many messages. It
is written anew when they are through, or when what comes is not what follows. An attempt counts as a death if another
one begins within it and nobody knows that the first came back; three deaths at one position of the cursor make those
that follow suspects. A broker's count of deliveries would not do: the same positions may come in another message.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from uuid import uuid4

from django.db import connections

from pangaea.databases import engines
from pangaea.inbox.models import Attempt as Row
from pangaea.inbox.subscriptions import Subscription
from pangaea.wire import Batch

AHEAD = 1000
"""Messages after a batch that need no other writing, if they come one batch after another."""

_BEGIN = """
INSERT INTO pangaea_attempt (subscription, source, audience, partition, position, until, number, alone, token)
SELECT %s, %s, %s, %s, place.position, %s, 1, FALSE, %s
FROM (
    SELECT COALESCE(MAX(position), 0) AS position, COALESCE(MAX(state), 'active') AS state FROM pangaea_cursor
    WHERE subscription = %s AND source = %s AND audience = %s AND partition = %s
) AS place
WHERE place.state = 'active' AND place.position BETWEEN %s AND %s
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
_under_way: dict[_Stream, "Attempt"] = {}
"""The last attempt at each stream whose batches all had their effects."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """An attempt at the messages after `position`, the `number`-th without progress; `last` is the batch's last one.

    What follows up to `until` needs no other one. `culprit` is the position of the message that was handled alone when
    the last process ended.
    """

    module: str
    stream: _Stream
    token: str
    position: int
    last: int
    until: int
    number: int
    culprit: int | None

    def narrow(self, position: int) -> None:
        """Write down that from here on this message is handled, and no other."""
        subscription, source, audience, partition = self.stream
        Row.objects.using(self.module).filter(
            subscription=subscription, source=source, audience=audience, partition=partition
        ).update(position=position - 1, until=position, alone=True, token=self.token)


def begin(subscription: Subscription, batch: Batch) -> Attempt | None:
    """Write down an attempt at a batch; None if no message of it is the cursor's next, so that no handler will run."""
    if not batch.messages:
        return None
    stream = (subscription.name, batch.source, batch.audience, batch.partition)
    # Not there until this batch, too, has come back: a process that is about to end has nothing under way.
    before = _under_way.pop(stream, None)
    if before and batch.first == before.last + 1 and batch.last <= before.until:
        _survived.pop(stream, None)
        return replace(before, last=batch.last)
    token, known = uuid4().hex, _survived.get(stream, "")
    until = batch.last + AHEAD
    values = [*stream, until, token, *stream, batch.first - 1, batch.last - 1, known, known, known]
    rows = engines.of(subscription.module).rows(connections[subscription.module], _BEGIN, *values)
    if not rows:
        return None
    position, number, alone = rows[0]
    return Attempt(
        module=subscription.module,
        stream=stream,
        token=token,
        position=position,
        last=batch.last,
        until=until,
        number=number,
        culprit=position + 1 if alone else None,
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
        _under_way[attempt.stream] = replace(attempt, number=1, culprit=None)
