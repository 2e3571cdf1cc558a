"""Streams whose batches the broker refused. Each of them waits; all other streams are sent meanwhile."""

from collections.abc import Iterable
from time import monotonic

import structlog

from pangaea.backoff import Backoff
from pangaea.outbox.models import Stream

log = structlog.get_logger()

REFUSED = Backoff(first=1.0, longest=60.0)
"""The pauses before a refused stream is sent again."""


class Refusals:
    """The streams of one module that wait after a refusal."""

    def __init__(self) -> None:
        self._waiting: dict[int, tuple[float, int]] = {}
        """Per stream: when it may be sent again, and its number of refusals in a row."""

    def divide(self, streams: Iterable[Stream]) -> tuple[list[Stream], list[Stream]]:
        """The streams that may be sent now, and the streams that wait."""
        now = monotonic()
        divided: tuple[list[Stream], list[Stream]] = ([], [])
        for stream in streams:
            divided[self._waiting.get(stream.pk, (0.0, 0))[0] > now].append(stream)
        return divided

    def refused(self, module: str, stream: Stream, reason: str) -> None:
        """Make this stream wait, longer after each refusal in a row, and log the refusal."""
        refusals = self._waiting.get(stream.pk, (0.0, 0))[1] + 1
        pause = REFUSED.jittered(refusals)
        self._waiting[stream.pk] = (monotonic() + pause, refusals)
        log.error(
            "stream refused",
            stream=f"{module}.{stream}",
            after_position=stream.sent,
            error=reason,
            again_in_seconds=round(pause, 1),
            remedy="Look at the message after that position: the broker may have a smaller limit than the kernel.",
        )

    def taken(self, stream: int) -> None:
        """End the stream's wait: the broker accepted a batch of it."""
        self._waiting.pop(stream, None)
