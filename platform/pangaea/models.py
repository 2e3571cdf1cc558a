"""The kernel's tables, where Django looks for them: outbox and streams, snapshots, inbox and cursors, idempotency."""

from pangaea.api.call_counts import ApiCalls
from pangaea.api.idempotency_records import IdempotencyRecord
from pangaea.change_capture.models import Snapshot
from pangaea.inbox.models import Attempt, Cursor, DeadLetter, DiscardedLetter
from pangaea.outbox.models import CatchUpRequest, OutboxMessage, Stream, Subscriber

__all__ = [
    "ApiCalls",
    "Attempt",
    "CatchUpRequest",
    "Cursor",
    "DeadLetter",
    "DiscardedLetter",
    "IdempotencyRecord",
    "OutboxMessage",
    "Snapshot",
    "Stream",
    "Subscriber",
]
