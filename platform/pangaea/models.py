"""Where Django looks for the kernel's tables: the outbox with its streams, and the inbox with its cursors."""

from pangaea.inbox.models import Attempt, Cursor, DeadLetter, DiscardedLetter
from pangaea.outbox.models import CatchUpRequest, OutboxMessage, Snapshot, Stream, Subscriber

__all__ = [
    "Attempt",
    "CatchUpRequest",
    "Cursor",
    "DeadLetter",
    "DiscardedLetter",
    "OutboxMessage",
    "Snapshot",
    "Stream",
    "Subscriber",
]
