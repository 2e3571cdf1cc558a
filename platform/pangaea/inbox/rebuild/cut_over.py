"""The cut-over: while both cursors of every stream are equal and locked, the shadow may replace the live tables."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pangaea.errors import PangaeaError
from pangaea.inbox.models import Cursor
from pangaea.inbox.rebuild import rows
from pangaea.inbox.rebuild.rows import Count
from pangaea.inbox.subscriptions import Projection, Subscription
from pangaea.messages import ALL
from pangaea.wire import PARTITIONS

Stream = tuple[str, str, int]
"""Source, audience and partition."""


class Refused(PangaeaError):
    """The projection was not replayed, and is unchanged. The message names the reason and the remedy."""


class Differs(PangaeaError):
    """The shadow's numbers of rows differ from the live ones, and were not accepted. Nothing was replaced."""

    def __init__(self, counts: Sequence[Count]) -> None:
        super().__init__("The numbers of rows differ.")
        self.counts = counts


@dataclass(frozen=True, slots=True)
class CutOver:
    """The equal, locked cursors of the shadow and of the live projection. `prefix` is that of the shadow's tables."""

    prefix: str
    shadow: dict[Stream, Cursor]
    live: dict[Stream, Cursor]

    def replace(self, projection: Projection) -> None:
        """Replace the live rows, parked messages and cursors by the shadow's."""
        rows.replace(projection, self.prefix)
        for stream, cursor in self.live.items():
            cursor.follow(self.shadow[stream])
            cursor.save()


def streams_of(projection: Projection) -> list[Stream]:
    """Every stream that a projection reads."""
    return [(source, ALL, partition) for source in sorted(projection.sources) for partition in range(PARTITIONS)]


def cursors_at_0(subscription: Subscription, streams: Iterable[Stream]) -> list[Cursor]:
    """Unsaved cursors at the beginning of these streams."""
    return [
        Cursor(subscription=subscription.name, source=source, audience=audience, partition=partition)
        for source, audience, partition in streams
    ]


def is_caught_up(shadow: Cursor, live: Cursor | None) -> bool:
    """Whether both have read the same messages; if the live cursor has stopped, whether the shadow is at its head."""
    if shadow.began_at is not None:
        return False
    if live is None:
        return shadow.position == 0
    if live.state == Cursor.State.ACTIVE and live.message_id == shadow.message_id:
        return live.position == shadow.position
    comparable = live.state != Cursor.State.ACTIVE or live.position == shadow.position
    return comparable and shadow.position >= shadow.head and shadow.requested_at is None


def may_follow(live: Cursor, shadow: Cursor) -> bool:
    """Whether the live cursor only has to reach the shadow's position for both to be equal."""
    return live.state == Cursor.State.ACTIVE and live.position < shadow.position


def known_head(live: Cursor | None) -> int:
    """The stream's last position known to the live cursor; 0 if that cursor has stopped, or does not exist."""
    return max(live.position, live.head) if live and live.state == Cursor.State.ACTIVE else 0


def check(shadow: dict[Stream, Cursor]) -> None:
    """Raise Refused if the shadow cannot be filled: history was deleted or rewritten meanwhile."""
    for cursor in shadow.values():
        if cursor.state == Cursor.State.BELOW_FLOOR:
            text = f"{cursor.source} deleted messages of {cursor.stream_name} while they were read."
            raise Refused(f"{text} Run the command again.")
        if cursor.state == Cursor.State.DIVERGED:
            text = f"The history of {cursor.stream_name} was rewritten while it was read."
            raise Refused(f"{text} Run the command again.")
