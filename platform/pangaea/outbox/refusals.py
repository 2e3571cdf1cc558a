"""Streams whose batches the broker answered for and did not take: each waits alone, and the others go on."""

import random
from collections.abc import Iterable
from time import monotonic

import structlog

from pangaea.outbox.models import Stream

log = structlog.get_logger()

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds until a refused stream is sent again: doubled with each refusal in a row, up to the longer one."""


class Refusals:
    """The streams of one module that wait after a refusal."""

    def __init__(self) -> None:
        self._waiting: dict[int, tuple[float, float]] = {}

    def divide(self, streams: Iterable[Stream]) -> tuple[list[Stream], list[Stream]]:
        """The streams that may be sent now, and those that still wait."""
        now = monotonic()
        divided: tuple[list[Stream], list[Stream]] = ([], [])
        for stream in streams:
            divided[self._waiting.get(stream.pk, (0.0, 0.0))[0] > now].append(stream)
        return divided

    def refused(self, module: str, stream: Stream, reason: str) -> None:
        """Let this stream wait, longer each time, and name it in the log."""
        before = self._waiting.get(stream.pk, (0.0, FIRST_PAUSE / 2))[1]
        pause = min(before * 2, LONGEST_PAUSE)
        # The spread keeps streams that were refused together from coming back together.
        wait = pause * random.uniform(0.5, 1)  # noqa: S311 - jitter, not a secret
        self._waiting[stream.pk] = (monotonic() + wait, pause)
        log.error(
            "stream refused by the broker",
            stream=f"{module}.{stream}",
            after_position=stream.sent,
            error=reason,
            again_in_seconds=round(wait, 1),
            remedy="Look at the message after that position: the broker may have a smaller limit than the kernel.",
        )

    def taken(self, stream: int) -> None:
        """The broker took a batch of this stream."""
        self._waiting.pop(stream, None)
