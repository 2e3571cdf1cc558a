"""The relay carries a module's outbox to the bus: sequence, send, settle.

Any number may run for a module; the one that holds the lead works, the others stand by. What makes it right even with
two at work is the lock on the stream rows while positions are given; `sent` only grows, and subscribers skip what they
know.
"""

import random
import threading
import zlib
from collections.abc import Sequence
from contextlib import suppress
from time import monotonic
from typing import Protocol

import structlog
from django.conf import settings
from django.db import connections, transaction
from django.db.utils import DatabaseError, InterfaceError

from pangaea import engines
from pangaea.heartbeat import Pulse, State
from pangaea.messages import EVERYBODY, PARTITIONS
from pangaea.outbox import replay, retention
from pangaea.outbox.batches import Outgoing, read_batch
from pangaea.outbox.models import OutboxMessage, Stream

log = structlog.get_logger()


class Carrier(Protocol):
    """What brings batches to the bus, in order, and returns when the broker has them."""

    def __call__(self, batches: Sequence[Outgoing], /) -> None:
        """Raise when any of them may not have arrived; all will be sent again."""


LONGEST_PAUSE = 5.0
"""Seconds between two attempts at most."""


PRUNE_INTERVAL = 60.0
"""Seconds between two looks for history that need not be kept, when the last one found no more."""


def backoff(failures: int) -> float:
    """Seconds to wait after so many failures in a row: longer each time, and not in step with other processes."""
    pause = min(0.1 * 2.0 ** min(failures, 6), LONGEST_PAUSE)
    return pause * random.uniform(0.5, 1)  # noqa: S311 - jitter, not a secret


def partition_of(key: str) -> int:
    """The partition of a key: the same in every process and for ever."""
    return zlib.crc32(key.encode()) % PARTITIONS


class Relay:
    """One module's relay. `run` until told to stop, or `step` by hand."""

    def __init__(self, module: str, carry: Carrier, pulse: Pulse | None = None) -> None:
        self.module = module
        self._carry = carry
        self._announcements = Announcements()
        self._pulse = pulse or Pulse(module)
        self._last_failure = 0.0
        self._prune_at = monotonic() + PRUNE_INTERVAL

    def run(self, stop: threading.Event) -> None:
        """Work while leading, else stand by. Comes back from a lost database or broker by itself."""
        bell = engines.of(self.module).bell(self.module)
        failures = 0
        try:
            while not stop.is_set():
                try:
                    if bell.lead():
                        while self._work() and not stop.is_set():
                            pass
                        failures = 0
                    else:
                        self._stand_by()
                    if not stop.is_set():
                        bell.wait(settings.PANGAEA.relay_poll.total_seconds())
                except Exception as error:  # noqa: BLE001 - whatever it is, messages wait in the outbox until it is over
                    failures += 1
                    self._interrupted(error)
                    # Another relay may reach what this one cannot.
                    bell.close()
                    with suppress(DatabaseError, InterfaceError):
                        connections[self.module].close()
                    stop.wait(backoff(failures))
        finally:
            bell.close()
            connections[self.module].close()

    def _work(self) -> bool:
        more = self.step()
        if monotonic() >= self._prune_at:
            pause = 0.0 if retention.prune(self.module).unfinished else PRUNE_INTERVAL
            self._prune_at = monotonic() + pause
        if (seconds := self._pulse.beat(State.LEADING)) is not None:
            log.info("relay leads", module=self.module, after_seconds=round(seconds, 1))
        return more

    def _stand_by(self) -> None:
        # Of relays that all fail, each finds another one at its attempt: that one does not work either.
        settled = monotonic() - self._last_failure > 3 * LONGEST_PAUSE
        changed = self._pulse.beat(State.STANDING_BY if settled else self._pulse.state)
        if changed is not None:
            log.info("relay stands by", module=self.module)

    def _interrupted(self, error: Exception) -> None:
        self._last_failure = monotonic()
        if self._pulse.beat(State.INTERRUPTED, str(error)) is not None:
            log.warning("relay interrupted", module=self.module, error=str(error), exc_info=error)

    def step(self) -> bool:
        """One pass. True when there may be more to do at once."""
        placed = self.sequence()
        sent = self.send()
        return placed or sent

    def sequence(self) -> bool:
        """Give the rows that have no place yet their partition and position."""
        with transaction.atomic(using=self.module):
            # Locking the streams first makes this the only one to give positions until it commits.
            streams = {
                (stream.audience, stream.partition): stream
                for stream in Stream.objects.using(self.module).select_for_update().order_by("id")
            }
            rows = list(
                OutboxMessage.objects.using(self.module)
                .filter(position__isnull=True)
                .order_by("id")
                .values_list("id", "audience", "key")[: settings.PANGAEA.relay_pass]
            )
            strangers = {audience for _, audience, _ in rows} - {audience for audience, _ in streams}
            if strangers or not streams:
                missing = strangers | {EVERYBODY}
            else:
                missing = set()
                self._place(rows, streams)
        if missing:
            self._create_streams(missing)
            return self.sequence()
        return bool(rows)

    def _place(self, rows: Sequence[tuple[int, str, str]], streams: dict[tuple[str, int], Stream]) -> None:
        if not rows:
            return
        placements, grown = [], {}
        for row, audience, key in rows:
            partition = partition_of(key)
            stream = streams[audience, partition]
            stream.head += 1
            grown[stream.pk] = stream
            placements.append((row, partition, stream.head))
        engines.of(self.module).place(connections[self.module], placements)
        for stream in grown.values():
            Stream.objects.using(self.module).filter(pk=stream.pk).update(head=stream.head)

    def _create_streams(self, audiences: set[str]) -> None:
        Stream.objects.using(self.module).bulk_create(
            [
                Stream(audience=audience, partition=partition, partitions=PARTITIONS)
                for audience in sorted(audiences)
                for partition in range(PARTITIONS)
            ],
            ignore_conflicts=True,
        )

    def send(self) -> bool:
        """Answer requests, send what is new, announce what is idle; then settle. True when something new went out."""
        # In this order: an asker is never ahead of a stream that was read after its request, or it would seem diverged.
        requests = replay.outstanding(self.module)
        streams = list(Stream.objects.using(self.module).order_by("id"))
        outgoing = replay.answers(self.module, requests, streams)
        idle: list[Stream] = []
        live: list[Outgoing] = []
        for stream in streams:
            if stream.sent < stream.head:
                batch = read_batch(self.module, stream, after=stream.sent, before=stream.sent_id)
                live.extend([batch] if batch else [])
            elif self._announcements.due(stream):
                idle.append(stream)
                outgoing.batches.append(Outgoing.announcement(self.module, stream))
        if outgoing.batches or live:
            self._carry([*outgoing.batches, *live])
        self._settle(live)
        for stream in idle:
            self._announcements.announced(stream)
        outgoing.settle()
        return bool(live) or outgoing.unfinished

    def _settle(self, live: Sequence[Outgoing]) -> None:
        for batch in live:
            Stream.objects.using(self.module).filter(pk=batch.stream, sent__lt=batch.last).update(
                sent=batch.last, sent_id=batch.last_id
            )
            self._announcements.sent(batch.stream)


class Announcements:
    """When each idle stream repeats its last position: soon after its last message, then ever more rarely."""

    def __init__(self) -> None:
        self._next: dict[int, tuple[float, float]] = {}

    def sent(self, stream: int) -> None:
        """Start over: something went out on this stream."""
        first = settings.PANGAEA.announce_first.total_seconds()
        self._next[stream] = (monotonic() + first, first)

    def due(self, stream: Stream) -> bool:
        """Whether to announce now. An empty stream does so too: its subscribers may know of another history."""
        if stream.pk not in self._next:
            self.sent(stream.pk)
        return monotonic() >= self._next[stream.pk][0]

    def announced(self, stream: Stream) -> None:
        """The broker has it; the next one comes later than this one did."""
        gap = min(self._next[stream.pk][1] * 2, settings.PANGAEA.announce_at_most.total_seconds())
        self._next[stream.pk] = (monotonic() + gap, gap)
