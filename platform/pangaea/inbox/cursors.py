"""What a batch means for a cursor. Pure: the rules of the protocol without a database."""

from enum import Enum, auto
from uuid import UUID

from pangaea.wire import Batch


class Verdict(Enum):
    """What to do with a batch."""

    APPLY = auto()
    KNOWN = auto()
    GAP = auto()
    VERIFY = auto()
    DIVERGED = auto()
    BELOW_FLOOR = auto()


def judge(
    position: int,
    message_id: UUID | None,
    batch: Batch,
    ids: list[UUID | None],
    *,
    head: int,
    decides: bool,
) -> Verdict:
    """Compare a batch with a cursor. `ids` are the ids of its messages, None where one is unreadable.

    `head` is the last position that the cursor's side knows of. `decides`: the batch answers the outstanding question
    of this cursor, asked from this position.

    A batch that starts after the next position is a gap. Where batch and cursor meet, the ids must be equal, or the
    producer's history is another one. Any batch but the answer may be late, and of a history that is no more: what it
    contradicts is a suspicion, to be verified by asking. So is an announcement that ends before the known head.
    """
    if decides and batch.head < position:
        return Verdict.DIVERGED
    if batch.first > position + 1:
        return Verdict.BELOW_FLOOR if decides and position < batch.floor else Verdict.GAP
    meeting = batch.before if batch.first == position + 1 else _at(ids, position - batch.first)
    if position and None not in {meeting, message_id} and meeting != message_id:
        return Verdict.DIVERGED if decides else Verdict.VERIFY
    if batch.last > position:
        return Verdict.APPLY
    # An answer may stay below the cursor, while the relay has not settled what it sent.
    is_suspicious = not ids and not decides and (batch.last < position or head > position)
    return Verdict.VERIFY if is_suspicious else Verdict.KNOWN


def _at(ids: list[UUID | None], index: int) -> UUID | None:
    return ids[index] if 0 <= index < len(ids) else None
