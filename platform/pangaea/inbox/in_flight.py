"""The messages whose handler is running, in memory that a worker's parent process shares with its pool's process.

The pool's process records them when it calls a handler and when the handler returns. The parent process reads when
this last happened, and ends a process that makes no progress. The next process reads what was in flight. So the message
whose handler did not return is known without a round trip to the database per message.
"""

import mmap
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import monotonic
from uuid import UUID

from pangaea.inbox.batches import Delivered

_MOVED, _MOVED_AT = struct.Struct("d"), 0
_ENDED, _ENDED_AT = struct.Struct("?"), 8
_RUN, _RUN_AT = struct.Struct("H16s16s"), 16
"""The length of the subscription's name, 0 while no handler runs, and the ids of the first and the last message."""
_NAME_AT = 64
_NOTHING = (0, b"", b"")

_page: mmap.mmap | None = None
_hung: tuple[str, UUID, UUID] | None = None
"""What was in flight in the previous process, if the parent ended it because it made no progress."""


def share() -> None:
    """Begin to record what is in flight, in this process and in the processes that it forks."""
    global _page  # noqa: PLW0603 - a process has one, and forks it
    _page = mmap.mmap(-1, mmap.PAGESIZE)


@contextmanager
def running(subscription: str, first: UUID, last: UUID) -> Iterator[None]:
    """Record that a handler of this subscription works on the messages from `first` to `last`, until it returns."""
    if _page is None:
        yield
        return
    name = subscription.encode()
    _page[_NAME_AT : _NAME_AT + len(name)] = name
    # The process may be ended between any two steps: the length is written once the name is complete.
    _RUN.pack_into(_page, _RUN_AT, len(name), first.bytes, last.bytes)
    _MOVED.pack_into(_page, _MOVED_AT, monotonic())
    try:
        yield
    finally:
        _RUN.pack_into(_page, _RUN_AT, *_NOTHING)
        _MOVED.pack_into(_page, _MOVED_AT, monotonic())


def moved_at() -> float:
    """When the pool's process last began or ended a handler, by `time.monotonic`; 0 if it never did."""
    return float(_MOVED.unpack_from(_page, _MOVED_AT)[0]) if _page else 0.0


def note_ended() -> str:
    """Record that the pool's process is ended for lack of progress. Returns its messages in flight, for the log."""
    if _page is None:
        return ""
    _ENDED.pack_into(_page, _ENDED_AT, True)  # noqa: FBT003 - struct's signature
    run = _read(_page)
    return "{} from message {} to {}".format(*run) if run else ""


def inherit() -> None:
    """At the start of the pool's process: read what was in flight when the previous process was ended."""
    global _hung  # noqa: PLW0603 - as above
    if _page is None:
        return
    (ended,) = _ENDED.unpack_from(_page, _ENDED_AT)
    _hung = _read(_page) if ended else None
    _ENDED.pack_into(_page, _ENDED_AT, False)  # noqa: FBT003 - struct's signature
    _RUN.pack_into(_page, _RUN_AT, *_NOTHING)


def hung_among(subscription: str, messages: Sequence[Delivered]) -> Sequence[Delivered]:
    """The messages among these that were in flight when the previous process was ended. Returns them only once."""
    global _hung  # noqa: PLW0603 - as above
    if _hung is None or _hung[0] != subscription:
        return ()
    ids = [message.id for message in messages]
    if _hung[1] not in ids or _hung[2] not in ids:
        return ()
    found = messages[ids.index(_hung[1]) : ids.index(_hung[2]) + 1]
    _hung = None
    return found


def _read(page: mmap.mmap) -> tuple[str, UUID, UUID] | None:
    length, first, last = _RUN.unpack_from(page, _RUN_AT)
    if not length:
        return None
    return page[_NAME_AT : _NAME_AT + length].decode(), UUID(bytes=first), UUID(bytes=last)
