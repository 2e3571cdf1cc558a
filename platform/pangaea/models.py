"""The kernel's tables, where Django looks for them: outbox and streams, snapshots, inbox and cursors."""

from pangaea.change_capture.models import Snapshot
from pangaea.inbox.models import Attempt, Cursor, DeadLetter, DiscardedLetter
from pangaea.outbox.models import CatchUpRequest, OutboxMessage, Stream, Subscriber

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
