"""What a batch means for a cursor. Pure: the rules of the protocol without a database."""

from enum import Enum, auto
from uuid import UUID

from pangaea.messages import Batch


class Verdict(Enum):
    """What to do with a batch."""

    APPLY = auto()
    KNOWN = auto()
    GAP = auto()
    VERIFY = auto()
    DIVERGED = auto()
    BELOW_FLOOR = auto()


def judge(position: int, message_id: UUID | None, batch: Batch, ids: list[UUID | None]) -> Verdict:
    """Compare a batch with a cursor. `ids` are the ids of its messages, None where one is unreadable.

    A batch that starts after the next position is a gap. Where batch and cursor meet, the ids must be the same, or the
    producer's history is another one. An announcement below the cursor may merely be late: it is verified by asking the
    producer, and diverged only if the answer to that very question says that there is no such position.
    """
    if batch.asked == position and batch.head < position:
        return Verdict.DIVERGED
    if batch.first > position + 1:
        return Verdict.BELOW_FLOOR if position < batch.floor else Verdict.GAP
    meeting = batch.before if batch.first == position + 1 else _at(ids, position - batch.first)
    if position and None not in {meeting, message_id} and meeting != message_id:
        return Verdict.DIVERGED
    if batch.last > position:
        return Verdict.APPLY
    return Verdict.VERIFY if batch.last < position and not ids else Verdict.KNOWN


def _at(ids: list[UUID | None], index: int) -> UUID | None:
    return ids[index] if 0 <= index < len(ids) else None
