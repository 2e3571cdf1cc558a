"""The relay carries a module's outbox to the bus: sequence, send, settle.

Any number of relays may run for a module: the leader works, and the others stand by, unless messages wait and the
leader sends none. Two relays that work at once are harmless: the stream rows are locked while positions are assigned,
`sent` only grows, and subscribers skip repeated messages.
"""

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

from pangaea.backoff import Backoff
from pangaea.databases import engines, idle
from pangaea.databases.engines.base import RelaySession
from pangaea.databases.errors import is_transient
from pangaea.databases.rows import columns, instances
from pangaea.errors import RefusedByBroker, Unavailable
from pangaea.messages import ALL
from pangaea.outbox import replay, retention
from pangaea.outbox.announcements import Announcements
from pangaea.outbox.batches import Outgoing, read_live
from pangaea.outbox.models import CatchUpRequest, Stream
from pangaea.outbox.refusals import Refusals
from pangaea.outbox.standby import Standby
from pangaea.telemetry.components import Component, State
from pangaea.wire import PARTITIONS

log = structlog.get_logger()


class Sender(Protocol):
    """Sends batches to the bus, in order, and returns when the broker has them."""

    def __call__(self, batches: Sequence[Outgoing], /) -> None:
        """Send these batches. Raises if one of them may not have arrived: then the relay sends all of them again.

        Raises RefusedByBroker if the broker answers and refuses one of them: then the caller sends the others without
        it.
        """


class Snapshots(Protocol):
    """Publishes the snapshots that subscribers asked for, part by part between the passes of one relay."""

    def step(self, streams: Sequence[Stream], *, all_sequenced: bool) -> bool:
        """Publish a part, if one is due. Returns whether it published a part or finished the snapshot.

        `streams`: the rows that this pass read. `all_sequenced`: whether the pass left no unsequenced row.
        """

    def close(self) -> None:
        """Stop, and let another relay continue."""


UNSEQUENCED = "SELECT id, audience, key FROM pangaea_outbox WHERE position IS NULL ORDER BY id LIMIT %s"
STREAMS = "SELECT {}, EXISTS (SELECT 1 FROM pangaea_catch_up_request) FROM pangaea_stream ORDER BY id"

RELAY_MAX_PAUSE = 5.0
"""Seconds between two attempts, at most."""

INTERRUPTED = Backoff(first=0.2, longest=RELAY_MAX_PAUSE)
"""The pauses after failures of the database or the broker."""

RELAY_MIN_PAUSE = 0.05
"""Seconds after which a relay that has just sent messages looks for more without a wake-up; doubled each time."""

BUSY_PASS = 10
"""A pass of this many messages is followed by a rest: under load, more passes slow down writers for little gain."""

REST_SECONDS_PER_MESSAGE, REST_MAX_SECONDS = 0.001, 0.05
"""The rest after a busy pass, and its limit. Messages that are committed during the rest share the next pass."""

LEADER_REPORT_INTERVAL = 1.0
"""Seconds between two reports of an idle leader that it leads."""

PRUNE_INTERVAL = 60.0
"""Seconds between two passes of retention, after one that left nothing to delete."""


def partition_of(key: str) -> int:
    """The partition of a key, the same in every process and for ever."""
    return zlib.crc32(key.encode()) % PARTITIONS


class Relay:
    """One module's relay. `run` works until it is stopped; `step` makes one pass.

    If `snapshots` is None, requested snapshots wait for another relay.
    """

    def __init__(
        self, module: str, sender: Sender, component: Component | None = None, *, snapshots: Snapshots | None = None
    ) -> None:
        self.module = module
        self._sender = sender
        self._snapshots = snapshots
        self._announcements = Announcements()
        self._refusals = Refusals()
        self._audiences: set[str] = set()
        self._streams: list[Stream] = []
        self._component = component or Component(module)
        self._last_failure = 0.0
        self._prune_at = monotonic() + PRUNE_INTERVAL
        self._pause = settings.PANGAEA.relay_poll.total_seconds()
        self._sequenced = 0
        self._standby = Standby(module)

    def run(self, stop: threading.Event) -> None:
        """Work while leading, else stand by, until `stop` is set. Reconnects after it lost the database or broker."""
        session = engines.of(self.module).relay_session(self.module)
        failures, is_verified = 0, False
        try:
            while not stop.is_set():
                try:
                    idle.renew(self.module)
                    if not is_verified:
                        self._verify_writable()
                        is_verified = True
                    if session.election.lead():
                        session.wakeup.listen()
                        while self._work() and not stop.is_set():
                            pass
                        failures = 0
                        self._wait(session, stop)
                    else:
                        self._stand_by(session, stop)
                        stop.wait(min(settings.PANGAEA.relay_poll.total_seconds(), RELAY_MAX_PAUSE))
                except Exception as error:  # noqa: BLE001 - messages wait in the outbox until any failure is over
                    failures, is_verified = failures + 1, False
                    self._interrupted(error)
                    # Give up leadership: another relay may reach the server that this one cannot.
                    session.close()
                    self._close_snapshots()
                    with suppress(DatabaseError, InterfaceError):
                        connections[self.module].close()
                    stop.wait(INTERRUPTED.jittered(failures))
        finally:
            self._close_snapshots()
            session.close()
            connections[self.module].close()

    def _verify_writable(self) -> None:
        """Raise Unavailable if the database is read-only, as after a failover: a pass that writes nothing succeeds."""
        if engines.of(self.module).is_read_only(connections[self.module]):
            raise Unavailable(f"the database of {self.module} is read-only")

    def _work(self) -> bool:
        more = self.step()
        self._prune()
        if (seconds := self._component.report(State.LEADING)) is not None:
            log.info("relay became leader", module=self.module, after_seconds=round(seconds, 1))
        return more

    def _close_snapshots(self) -> None:
        if self._snapshots is not None:
            self._snapshots.close()

    def _wait(self, session: RelaySession, stop: threading.Event) -> None:
        """Wait until a commit wakes the relay, at most for a pause, which doubles while nothing is sent.

        Rows whose commits wake no relay (captured rows, rows written by hand) come in bursts, so the pause is short
        after messages were sent. After a busy pass the relay rests first.
        """
        if self._sequenced >= BUSY_PASS:
            stop.wait(min(self._sequenced * REST_SECONDS_PER_MESSAGE, REST_MAX_SECONDS))
        until = monotonic() + self._pause
        self._pause = min(self._pause * 2, settings.PANGAEA.relay_poll.total_seconds())
        while not stop.is_set() and (left := until - monotonic()) > 0:
            if session.wakeup.wait(min(left, LEADER_REPORT_INTERVAL)):
                return
            # `wait` raises if the server has ended the session. It did not, so this relay still leads.
            self._component.report(State.LEADING)

    def _prune(self) -> None:
        if monotonic() >= self._prune_at:
            pause = 0.0 if retention.prune(self.module).unfinished else PRUNE_INTERVAL
            self._prune_at = monotonic() + pause

    def _stand_by(self, session: RelaySession, stop: threading.Event) -> None:
        leader = self._standby.leader(session.election)
        is_stranger = leader is not None and leader.is_stranger
        # A stranger that holds the leader's lock is no relay, so this standby has to announce too.
        if is_stranger or self._standby.must_work():
            if not self._standby.has_taken_over:
                leader = leader or session.election.leader()
                log.warning(
                    "standby took over",
                    module=self.module,
                    reason="the leader's lock is a stranger's: end that session"
                    if is_stranger
                    else "messages wait, and the leader sends none",
                    leader_login=leader and leader.login,
                    leader_pid=leader and leader.pid,
                )
            while self.step() and not stop.is_set():
                pass
            self._prune()
            self._standby.worked()
        # While all relays fail, each may find the lock held by another one, for that one's own failing attempt.
        settled = monotonic() - self._last_failure > 3 * RELAY_MAX_PAUSE
        changed = self._component.report(State.STANDING_BY if settled else self._component.state)
        if changed is not None:
            log.info("relay became standby", module=self.module)

    def _interrupted(self, error: Exception) -> None:
        self._last_failure = monotonic()
        if self._component.report(State.INTERRUPTED, str(error)) is not None:
            unforeseen = None if is_transient(error) else error
            log.warning("relay interrupted", module=self.module, error=str(error).strip(), exc_info=unforeseen)

    def step(self) -> bool:
        """Make one pass. True if more waits than one pass takes: then the caller makes another one at once."""
        full = self.sequence()
        unfinished = self.send()
        published = self._snapshots is not None and self._snapshots.step(self._streams, all_sequenced=not full)
        if published:
            for stream in self._streams:
                # An announcement shows the subscribers that wait for the snapshot at which position it ends.
                self._announcements.sent(stream.pk)
        return full or unfinished or published

    def sequence(self) -> bool:
        """Give unsequenced rows their partition and position. True if there may be more of them.

        The rows are read without a lock. Once the streams are locked, rows that another relay has sequenced meanwhile
        are left out. Within a key, no earlier row is missed: a row with a lower id was committed earlier.
        """
        limit = settings.PANGAEA.relay_pass
        connection = connections[self.module]
        unsequenced = engines.of(self.module).rows(connection, UNSEQUENCED, limit)
        rows = [(row, audience, partition_of(key)) for row, audience, key in unsequenced]
        self._sequenced = len(rows)
        audiences = {ALL}.union(audience for _, audience, _ in rows)
        if not audiences <= self._audiences:
            Stream.provide(self.module, audiences)
        if rows:
            engines.of(self.module).sequence(connection, rows)
        return len(rows) == limit

    def send(self) -> bool:
        """Answer requests, send new messages, announce idle streams; then settle. True if more is left to send."""
        requests, streams = self._look()
        self._audiences = {stream.audience for stream in streams}
        self._streams = streams
        streams, withheld = self._refusals.divide(streams)
        withheld_keys = {(stream.audience, stream.partition) for stream in withheld}
        requests = [each for each in requests if (each.audience, each.partition) not in withheld_keys]
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
        """Send these batches. Returns the streams that the broker refused. Raises if it refused several, and all."""
        by_stream: dict[int, list[Outgoing]] = {}
        for batch in batches:
            by_stream.setdefault(batch.stream, []).append(batch)
        refused: dict[int, RefusedByBroker] = {}
        if batches:
            try:
                self._sender(batches)
            except RefusedByBroker:
                # The broker does not name the batch, so each stream is sent alone. Subscribers skip repeated batches.
                for stream, own in by_stream.items():
                    try:
                        self._sender(own)
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
        # Streams are read after the requests: otherwise a request may be ahead of its stream's row as it was read, and
        # its subscriber would seem diverged. Usually there is no request, as the query of the streams shows in the same
        # database snapshot.
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
        self._pause = min(RELAY_MIN_PAUSE, settings.PANGAEA.relay_poll.total_seconds())
