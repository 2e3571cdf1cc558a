"""Asking a producer for what was missed: everything from my cursor on.

There is one outstanding request a stream and subscription.
"""

from datetime import timedelta

import structlog
from django.conf import settings
from django.utils import timezone

from pangaea.inbox.models import Cursor
from pangaea.messages import CatchUp

log = structlog.get_logger()


def request(cursor: Cursor) -> CatchUp | None:
    """The request to send once the transaction has committed; None while an earlier one still makes progress.

    The caller holds the cursor's lock and saves it.
    """
    if is_outstanding(cursor):
        return None
    cursor.requested_at = timezone.now()
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
    )


def is_outstanding(cursor: Cursor) -> bool:
    """Whether a request is under way that still makes progress."""
    if cursor.requested_at is None:
        return False
    # An age below zero is a clock that was set back.
    return timedelta(0) <= timezone.now() - cursor.requested_at < settings.PANGAEA.catch_up_renewal


def ended(cursor: Cursor, *, asked: int | None) -> None:
    """Note that a batch came which leaves a gap although it answers the request from `asked`.

    A long answer ends like that, for the rest to be asked for at once. Without any progress since the request, its
    answer was lost on the way, and asking as fast as that would only repeat it.
    """
    if asked is not None and asked == cursor.requested_from and cursor.position > asked:
        answered(cursor)


def answered(cursor: Cursor) -> None:
    """Note that nothing was missed, so that the next gap is asked for at once."""
    cursor.requested_at = cursor.requested_from = None


def progressed(cursor: Cursor) -> None:
    """Note that the cursor moved: the request is answered at the known head, and until then it is alive."""
    if cursor.requested_at is None:
        return
    if cursor.position >= cursor.head:
        answered(cursor)
    else:
        cursor.requested_at = timezone.now()
