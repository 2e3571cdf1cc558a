"""Asking a producer for what was missed: everything from my cursor on.

There is one outstanding request per stream and subscription. It has a number, which its answers carry: only they say
what the producer's history is now.
"""

import secrets
from datetime import timedelta

import structlog
from django.conf import settings
from django.utils import timezone

from pangaea.inbox.models import Cursor
from pangaea.wire import Batch, CatchUp

log = structlog.get_logger()

NUMBER_BITS = 53
"""Bits of a request's number: what a double holds exactly, should another language read it as one."""


def request(cursor: Cursor) -> CatchUp | None:
    """The request to send once the transaction has committed; None while an earlier one still makes progress.

    The caller holds the cursor's lock and saves it.
    """
    if is_outstanding(cursor):
        return None
    cursor.requested_at = timezone.now()
    if cursor.question is None or cursor.requested_from != cursor.position:
        # Sent again from the same position a request keeps its number: else in a queue longer than the renewal takes no
        # answer would ever be the last one's. Drawn at random, because a subscriber restored from a backup would count
        # the same numbers again.
        cursor.question = secrets.randbits(NUMBER_BITS)
    cursor.requested_from = cursor.position
    log.info(
        "asks for what it missed",
        subscription=cursor.subscription,
        stream=f"{cursor.source}.{cursor.audience}.{cursor.partition}",
        position=cursor.position,
        head=cursor.head,
    )
    return CatchUp(
        subscription=cursor.subscription,
        source=cursor.source,
        audience=cursor.audience,
        partition=cursor.partition,
        position=cursor.position,
        message_id=cursor.message_id,
        question=cursor.question,
        snapshot_after=cursor.began_at,
    )


def is_outstanding(cursor: Cursor) -> bool:
    """Whether a request is under way that still makes progress."""
    if cursor.requested_at is None:
        return False
    # An age below zero is a clock that was set back.
    return timedelta(0) <= timezone.now() - cursor.requested_at < settings.PANGAEA.catch_up_renewal


def is_answer(cursor: Cursor, batch: Batch) -> bool:
    """Whether a batch belongs to the answer to the outstanding request.

    A producer of the version before numbers no answers: there the position has to do. A worker of that version leaves
    the number behind when it notes the answer, so the number alone is not enough.
    """
    if cursor.requested_at is None:
        return False
    if batch.question is None:
        return batch.asked is not None and batch.asked == cursor.requested_from
    return batch.question == cursor.question


def decides(cursor: Cursor, batch: Batch) -> bool:
    """Whether a batch says what the producer has at the cursor's position now, which no other batch can."""
    return batch.question is not None and is_answer(cursor, batch) and batch.asked == cursor.position


def may_join(cursor: Cursor, batch: Batch) -> bool:
    """Whether a batch with the next message may be taken here.

    Where the id at the cursor is not known, after an operator has set it to the head, any batch of a former history
    would seem to follow: there only the answer to a question from this position does.
    """
    knows_id = cursor.position == 0 or cursor.message_id is not None
    return knows_id or (is_answer(cursor, batch) and batch.asked == cursor.position)


def note_head(cursor: Cursor, batch: Batch) -> None:
    """Note the last position of the stream. A batch may be late, and only raises it; an answer sets head and floor."""
    if is_answer(cursor, batch):
        cursor.head, cursor.floor, cursor.floor_id = batch.head, batch.floor, batch.floor_id
    else:
        cursor.head = max(cursor.head, batch.head)


def may_begin_at_floor(cursor: Cursor) -> bool:
    """Whether nothing was taken yet, so that what was deleted can be replaced by a snapshot.

    Who has taken something keeps rows that the deleted messages may have removed.
    """
    return cursor.position in {0, cursor.began_at}


def begin_at_floor(cursor: Cursor) -> None:
    """Move on to the floor; a snapshot has to bring what was deleted before the cursor counts as caught up."""
    cursor.advance(cursor.floor, cursor.floor_id)
    cursor.began_at = cursor.floor
    answered(cursor)


def note_snapshot(cursor: Cursor, batch: Batch) -> None:
    """Note that the snapshot which the cursor waits for has been taken to its end."""
    if _has_snapshot(cursor, batch) and batch.snapshot and cursor.position >= batch.snapshot[1]:
        cursor.began_at = None


def lacks_snapshot(cursor: Cursor, batch: Batch) -> bool:
    """Whether to ask again for the snapshot that the cursor waits for: an announcement shows that there is none yet."""
    active = cursor.state == Cursor.State.ACTIVE
    return active and cursor.began_at is not None and batch.asked is None and not _has_snapshot(cursor, batch)


def _has_snapshot(cursor: Cursor, batch: Batch) -> bool:
    return cursor.began_at is None or (batch.snapshot is not None and batch.snapshot[0] >= cursor.began_at)


def ended(cursor: Cursor, batch: Batch) -> None:
    """Note that a batch leaves a gap, although it may be of the answer.

    A long answer ends like that, for the rest to be asked for at once. Without any progress since the request, its
    answer was lost on the way, and asking as fast as that would only repeat it.
    """
    if is_answer(cursor, batch) and batch.asked is not None and cursor.position > batch.asked:
        answered(cursor)


def known(cursor: Cursor, batch: Batch) -> None:
    """Note that a batch brought nothing: as the answer, it ends the request."""
    if is_answer(cursor, batch) and (batch.asked == cursor.position or cursor.position >= cursor.head):
        answered(cursor)


def answered(cursor: Cursor) -> None:
    """Note that nothing is outstanding, so that the next gap is asked for at once."""
    cursor.requested_at = cursor.requested_from = cursor.question = None


def progressed(cursor: Cursor) -> None:
    """Note that the cursor moved: the request is answered at the known head, and until then it is alive."""
    if cursor.requested_at is None:
        return
    if cursor.position >= cursor.head:
        answered(cursor)
    else:
        cursor.requested_at = timezone.now()
