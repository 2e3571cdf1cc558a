"""The relay carries a module's outbox to the bus: sequence, send, settle.

Any number may run for a module; the one that holds the lead works, the others stand by, and work as well when messages
wait and none is sent. What makes it right even with two at work is the lock on the stream rows while positions are
given; `sent` only grows, and subscribers skip what they know.
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
from django.db import connections
from django.db.utils import DatabaseError, InterfaceError

from pangaea.databases import engines
from pangaea.databases.relay_sessions import RelaySession
from pangaea.databases.rows import columns, instances
from pangaea.databases.sessions import Holder
from pangaea.errors import RefusedByBroker
from pangaea.messages import EVERYBODY
from pangaea.outbox import replay, retention
from pangaea.outbox.batches import Outgoing, read_live
from pangaea.outbox.models import CatchUpRequest, Stream
from pangaea.outbox.refusals import Refusals
from pangaea.outbox.requested_snapshots import RequestedSnapshots
from pangaea.outbox.standby import Standby
from pangaea.telemetry.heartbeat import Pulse, State
from pangaea.wire import PARTITIONS

log = structlog.get_logger()


class Carrier(Protocol):
    """What brings batches to the bus, in order, and returns when the broker has them."""

    def __call__(self, batches: Sequence[Outgoing], /) -> None:
        """Raise when any of them may not have arrived; all will be sent again.

        Raises RefusedByBroker when the broker answers and does not take one of them: the others are tried without it.
        """


UNPLACED = "SELECT id, audience, key FROM pangaea_outbox WHERE position IS NULL ORDER BY id LIMIT %s"
STREAMS = "SELECT {}, EXISTS (SELECT 1 FROM pangaea_catch_up_request) FROM pangaea_stream ORDER BY id"

LONGEST_PAUSE = 5.0
"""Seconds between two attempts at most."""

SHORTEST_PAUSE = 0.05
"""Seconds without a wake-up after which the relay looks for messages, when it sent some lately; doubled each time."""

MANY = 10
"""Messages of a pass from which on the relay rests after it: under load a pass costs writers more than it is worth."""

REST_PER_MESSAGE, LONGEST_REST = 0.001, 0.05
"""Seconds to rest per message of that pass, and at most: what is committed meanwhile shares the next pass."""

SIGN_OF_LIFE = 1.0
"""Seconds after which a leader with nothing to do says that it leads."""

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
        self._refusals = Refusals()
        self._audiences: set[str] = set()
        self._streams: list[Stream] = []
        self._snapshots = RequestedSnapshots(module)
        self._pulse = pulse or Pulse(module)
        self._last_failure = 0.0
        self._prune_at = monotonic() + PRUNE_INTERVAL
        self._pause = settings.PANGAEA.relay_poll.total_seconds()
        self._sequenced = 0
        self._standby = Standby(module)
        self._leader: Holder | None = None
        self._leader_look_at = 0.0

    def run(self, stop: threading.Event) -> None:
        """Work while leading, else stand by. Comes back from a lost database or broker by itself."""
        session = engines.of(self.module).relay_session(self.module)
        failures = 0
        try:
            while not stop.is_set():
                try:
                    if session.lead():
                        while self._work() and not stop.is_set():
                            pass
                        failures = 0
                        self._wait(session, stop)
                    else:
                        self._stand_by(session, stop)
                        stop.wait(min(settings.PANGAEA.relay_poll.total_seconds(), LONGEST_PAUSE))
                except Exception as error:  # noqa: BLE001 - whatever it is, messages wait in the outbox until it is over
                    failures += 1
                    self._interrupted(error)
                    # Another relay may reach what this one cannot.
                    session.close()
                    self._snapshots.close()
                    with suppress(DatabaseError, InterfaceError):
                        connections[self.module].close()
                    stop.wait(backoff(failures))
        finally:
            self._snapshots.close()
            session.close()
            connections[self.module].close()

    def _work(self) -> bool:
        more = self.step()
        self._prune()
        if (seconds := self._pulse.beat(State.LEADING)) is not None:
            log.info("relay leads", module=self.module, after_seconds=round(seconds, 1))
        return more

    def _wait(self, session: RelaySession, stop: threading.Event) -> None:
        """Until a commit wakes the relay, or its pause is over: twice the one before, where nothing was sent since.

        What no commit of ours wakes it for (captured rows, rows written by hand) comes in bursts. After a pass of many
        messages it rests first.
        """
        if self._sequenced >= MANY:
            stop.wait(min(self._sequenced * REST_PER_MESSAGE, LONGEST_REST))
        until = monotonic() + self._pause
        self._pause = min(self._pause * 2, settings.PANGAEA.relay_poll.total_seconds())
        while not stop.is_set() and (left := until - monotonic()) > 0:
            if session.wait(min(left, SIGN_OF_LIFE)):
                return
            # The session would have raised if its server were gone.
            self._pulse.beat(State.LEADING)

    def _prune(self) -> None:
        if monotonic() >= self._prune_at:
            pause = 0.0 if retention.prune(self.module).unfinished else PRUNE_INTERVAL
            self._prune_at = monotonic() + pause

    def _stand_by(self, session: RelaySession, stop: threading.Event) -> None:
        leader = self._look_for_leader(session)
        is_stranger = leader is not None and leader.is_stranger
        # A stranger that holds the lead's lock is no leader at all: then there are announcements to make too.
        if is_stranger or self._standby.must_work():
            if not self._standby.has_taken_over:
                leader = leader or session.leader()
                log.warning(
                    "standby works: the lead's lock is a stranger's, end that session"
                    if is_stranger
                    else "standby works: messages wait, and the leader sends none",
                    module=self.module,
                    leader_login=leader and leader.login,
                    leader_pid=leader and leader.pid,
                )
            while self.step() and not stop.is_set():
                pass
            self._prune()
            self._standby.worked()
        # Of relays that all fail, each finds another one at its attempt: that one does not work either.
        settled = monotonic() - self._last_failure > 3 * LONGEST_PAUSE
        changed = self._pulse.beat(State.STANDING_BY if settled else self._pulse.state)
        if changed is not None:
            log.info("relay stands by", module=self.module)

    def _look_for_leader(self, session: RelaySession) -> Holder | None:
        """Who leads, as of a look no older than RELAY_TAKEOVER: each look reads all locks of the server."""
        if monotonic() >= self._leader_look_at:
            self._leader = session.leader()
            self._leader_look_at = monotonic() + settings.PANGAEA.relay_takeover.total_seconds()
        return self._leader

    def _interrupted(self, error: Exception) -> None:
        self._last_failure = monotonic()
        if self._pulse.beat(State.INTERRUPTED, str(error)) is not None:
            log.warning("relay interrupted", module=self.module, error=str(error), exc_info=error)

    def step(self) -> bool:
        """One pass. True when more is waiting than one pass takes: do another at once."""
        full = self.sequence()
        unfinished = self.send()
        published = self._snapshots.step(self._streams, all_sequenced=not full)
        if published:
            for stream in self._streams:
                # A subscriber that waits for the snapshot learns of its end by an announcement.
                self._announcements.sent(stream.pk)
        return full or unfinished or published

    def sequence(self) -> bool:
        """Give the rows that have no place yet their partition and position. True when there may be more of them.

        They are found without a lock; which of them still has no place is asked again once the streams are locked.
        What is found is whole as far as it goes: of one key, a row that comes earlier was committed earlier.
        """
        limit = settings.PANGAEA.relay_pass
        connection = connections[self.module]
        found = engines.of(self.module).rows(connection, UNPLACED, limit)
        rows = [(row, audience, partition_of(key)) for row, audience, key in found]
        self._sequenced = len(rows)
        audiences = {EVERYBODY}.union(audience for _, audience, _ in rows)
        if not audiences <= self._audiences:
            Stream.provide(self.module, audiences)
        if rows:
            engines.of(self.module).place(connection, rows)
        return len(rows) == limit

    def send(self) -> bool:
        """Answer requests, send what is new, announce what is idle; then settle. True when some is left to send."""
        requests, streams = self._look()
        self._audiences = {stream.audience for stream in streams}
        self._streams = streams
        streams, withheld = self._refusals.divide(streams)
        held = {(stream.audience, stream.partition) for stream in withheld}
        requests = [each for each in requests if (each.audience, each.partition) not in held]
        outgoing = replay.answers(self.module, requests, streams)
        waiting = [stream for stream in streams if stream.sent < stream.head]
        live = read_live(self.module, waiting)
        idle = [stream for stream in streams if stream.sent >= stream.head and self._announcements.due(stream)]
        outgoing.batches.extend(Outgoing.announcement(self.module, stream) for stream in idle)
        refused = self._deliver([*outgoing.batches, *live], streams)
        live = [batch for batch in live if batch.stream not in refused]
        self._settle(live)
        for stream in idle:
            if stream.pk not in refused:
                self._announcements.announced(stream)
        outgoing.withhold([(stream.audience, stream.partition) for stream in streams if stream.pk in refused])
        outgoing.settle()
        reached = {batch.stream: batch.last for batch in live}
        return outgoing.unfinished or any(
            reached.get(stream.pk, stream.head) < stream.head for stream in waiting if stream.pk not in refused
        )

    def _deliver(self, batches: Sequence[Outgoing], streams: Sequence[Stream]) -> set[int]:
        """Carry these batches; the streams of which the broker took none. Raises when it takes of several no stream."""
        by_stream: dict[int, list[Outgoing]] = {}
        for batch in batches:
            by_stream.setdefault(batch.stream, []).append(batch)
        refused: dict[int, RefusedByBroker] = {}
        if batches:
            try:
                self._carry(batches)
            except RefusedByBroker:
                # Which of them, a broker does not say. What it took already it gets again, and subscribers skip it.
                for stream, own in by_stream.items():
                    try:
                        self._carry(own)
                    except RefusedByBroker as error:
                        refused[stream] = error
                if len(refused) == len(by_stream) > 1:
                    raise
        for stream in by_stream.keys() - refused.keys():
            self._refusals.taken(stream)
        for row in streams:
            if row.pk in refused:
                self._refusals.refused(self.module, row, str(refused[row.pk]))
        return set(refused)

    def _look(self) -> tuple[list[CatchUpRequest], list[Stream]]:
        # An asker is never ahead of a stream that was read after its request, or it would seem diverged. As a rule
        # there is no request, which the streams' query says of the same moment.
        engine, connection = engines.of(self.module), connections[self.module]
        rows = engine.rows(connection, STREAMS.format(columns(Stream)))
        requests: list[CatchUpRequest] = []
        if any(asked for *_, asked in rows):
            requests = list(CatchUpRequest.objects.using(self.module).order_by("id"))
            rows = engine.rows(connection, STREAMS.format(columns(Stream)))
        return requests, instances(Stream, self.module, (row[:-1] for row in rows))

    def _settle(self, live: Sequence[Outgoing]) -> None:
        if not live:
            return
        sent = [(batch.stream, batch.last, batch.last_id) for batch in live if batch.last_id]
        engines.of(self.module).settle(connections[self.module], sent)
        for batch in live:
            self._announcements.sent(batch.stream)
        self._pause = min(SHORTEST_PAUSE, settings.PANGAEA.relay_poll.total_seconds())


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
