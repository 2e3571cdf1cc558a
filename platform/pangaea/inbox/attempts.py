"""Attempts are written down before handlers run, so that a process that did not live to tell is missed all the same.

One statement a batch, committed on its own: a row for each subscription and stream, overwritten. An attempt counts as a
death if another one begins at the same position of the cursor and nobody knows that the first came back. A broker's
count of deliveries would not do: the same positions may come in another message.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import uuid4

from django.db import connections

from pangaea.inbox.models import Attempt as Row
from pangaea.inbox.subscriptions import Subscription
from pangaea.messages import Batch

_BEGIN = """
INSERT INTO pangaea_attempt (subscription, source, audience, partition, position, number, alone, token)
SELECT %s, %s, %s, %s, place.position, 1, FALSE, %s
FROM (
    SELECT COALESCE(MAX(position), 0) AS position, COALESCE(MAX(state), 'active') AS state FROM pangaea_cursor
    WHERE subscription = %s AND source = %s AND audience = %s AND partition = %s
) AS place
WHERE place.state = 'active' AND place.position BETWEEN %s AND %s
ON CONFLICT (subscription, source, audience, partition) DO UPDATE SET
    position = excluded.position,
    number = CASE WHEN pangaea_attempt.position <> excluded.position THEN 1
                  WHEN pangaea_attempt.token = %s THEN pangaea_attempt.number
                  ELSE pangaea_attempt.number + 1 END,
    alone = pangaea_attempt.position = excluded.position AND pangaea_attempt.token <> %s AND pangaea_attempt.alone,
    token = excluded.token
RETURNING position, number, alone
"""

_Stream = tuple[str, str, str, int]
_survived: dict[_Stream, str] = {}
"""The last attempt of this process at each stream that came back, with effects or with an error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """An attempt at the messages after `position`, the `number`-th without progress.

    `culprit` is the position of the message that was handled alone when the last process ended.
    """

    module: str
    stream: _Stream
    token: str
    position: int
    number: int
    culprit: int | None

    def narrow(self, position: int) -> None:
        """Write down that from here on this message is handled, and no other."""
        subscription, source, audience, partition = self.stream
        Row.objects.using(self.module).filter(
            subscription=subscription, source=source, audience=audience, partition=partition
        ).update(position=position - 1, alone=True, token=self.token)


def begin(subscription: Subscription, batch: Batch) -> Attempt | None:
    """Write down an attempt at a batch; None if no message of it is the cursor's next, so that no handler will run."""
    if not batch.messages:
        return None
    stream = (subscription.name, batch.source, batch.audience, batch.partition)
    token, known = uuid4().hex, _survived.get(stream, "")
    with connections[subscription.module].cursor() as cursor:
        cursor.execute(_BEGIN, [*stream, token, *stream, batch.first - 1, batch.last - 1, known, known])
        row = cursor.fetchone()
    if row is None:
        return None
    position, number, alone = row
    return Attempt(
        module=subscription.module,
        stream=stream,
        token=token,
        position=position,
        number=number,
        culprit=position + 1 if alone else None,
    )


@contextmanager
def surviving(attempt: Attempt | None) -> Iterator[None]:
    """Remember that this process came back from the attempt, unless it is about to end: by a BaseException."""
    try:
        yield
    except Exception:
        _remember(attempt)
        raise
    _remember(attempt)


def _remember(attempt: Attempt | None) -> None:
    if attempt is not None:
        _survived[attempt.stream] = attempt.token
