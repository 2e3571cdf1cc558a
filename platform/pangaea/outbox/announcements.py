"""The schedule of announcements: a stream repeats its last position soon after a message, then at growing intervals."""

from time import monotonic

from django.conf import settings

from pangaea.outbox.models import Stream


class Announcements:
    """The times of the next announcements of one module's streams."""

    def __init__(self) -> None:
        self._next: dict[int, tuple[float, float]] = {}

    def sent(self, stream: int) -> None:
        """Restart with the first interval: a batch was sent on this stream."""
        first = settings.PANGAEA.announce_first.total_seconds()
        self._next[stream] = (monotonic() + first, first)

    def due(self, stream: Stream) -> bool:
        """Whether an announcement is due, also of an empty stream: its subscribers may have read another history."""
        if stream.pk not in self._next:
            self.sent(stream.pk)
        return monotonic() >= self._next[stream.pk][0]

    def announced(self, stream: Stream) -> None:
        """Double the interval up to ANNOUNCE_AT_MOST, since the broker has accepted an announcement."""
        interval = min(self._next[stream.pk][1] * 2, settings.PANGAEA.announce_at_most.total_seconds())
        self._next[stream.pk] = (monotonic() + interval, interval)
