"""When each idle stream repeats its last position: soon after its last message, then at growing intervals."""

from time import monotonic

from django.conf import settings

from pangaea.outbox.models import Stream


class Announcements:
    """The next announcement of each stream of one module."""

    def __init__(self) -> None:
        self._next: dict[int, tuple[float, float]] = {}

    def sent(self, stream: int) -> None:
        """Begin with the first interval again: something was sent on this stream."""
        first = settings.PANGAEA.announce_first.total_seconds()
        self._next[stream] = (monotonic() + first, first)

    def due(self, stream: Stream) -> bool:
        """Whether to announce it. An empty stream is announced too: its subscribers may know of another history."""
        if stream.pk not in self._next:
            self.sent(stream.pk)
        return monotonic() >= self._next[stream.pk][0]

    def announced(self, stream: Stream) -> None:
        """The broker has it; the next interval is longer."""
        interval = min(self._next[stream.pk][1] * 2, settings.PANGAEA.announce_at_most.total_seconds())
        self._next[stream.pk] = (monotonic() + interval, interval)
