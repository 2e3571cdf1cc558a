"""The real protocol under faults: concurrent writers, a broker that loses and shuffles, crashes, poison, a restore.

The caller takes the steps in any order. `heal` then lets everything work, and `verify` compares the subscriber's ledger
with the committed messages, of which World has a list in memory.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError, connections, transaction
from django.test import override_settings

from pangaea.errors import MalformedMessage
from pangaea.inbox import consume
from pangaea.inbox.batches import decode
from pangaea.inbox.dead_letters import redrive
from pangaea.inbox.dead_letters.selection import Selection
from pangaea.inbox.delivery import Delivery
from pangaea.inbox.models import Cursor, DeadLetter
from pangaea.messages import Received
from pangaea.outbox import replay
from pangaea.outbox.batches import Outgoing
from pangaea.outbox.models import CatchUpRequest, OutboxMessage, Stream
from pangaea.outbox.relay import partition_of
from pangaea.wire import CatchUp
from tests.kernel.pipeline import LISTENER, SOURCE, Ledger, Tick
from tests.kernel.relays import relay_of
from tests.kernel.unreadable import deep
from tests.kernel.writers import Writers

KEYS = ("a", "j", "c", "h")
"""Two keys in each of two partitions."""
USED = {partition_of(key) for key in KEYS}
ROUNDS = 60
STANDSTILL = 8
"""Rounds without any change after which nothing more will come."""


class Violation(AssertionError):
    """The protocol broke a promise."""


class Crash(BaseException):
    """A crash of the process: no code may catch it."""


class FragileLedger(Ledger):
    """Always fails at `poison`, fails once at `flaky`, and crashes the process while `crashes` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.flaky: set[int] = set()
        self.unreadable: set[int] = set()
        self.crashes = False

    def _write(self, message: Received[Tick]) -> None:
        super()._write(message)
        if self.crashes:
            raise Crash
        if message.payload.number in self.flaky:
            self.flaky.discard(message.payload.number)
            raise ValueError("flaky")


@dataclass
class Backup:
    """A copy of the producer's tables, and the messages that were committed by then."""

    tables: dict[type[Any], list[Any]]
    committed: dict[str, list[int]]


@dataclass
class World:
    """A producer, a broker and a subscriber. Indices wrap around, and an impossible step does nothing."""

    writers: Writers
    ledger: FragileLedger = field(default_factory=FragileLedger)
    broker: list[Outgoing] = field(default_factory=list)
    late: list[Outgoing] = field(default_factory=list)
    requests: list[CatchUp] = field(default_factory=list)
    committed: dict[str, list[int]] = field(default_factory=lambda: {key: [] for key in KEYS})
    bodies: dict[UUID, str] = field(default_factory=dict)
    backup: Backup | None = None
    last_number: int = 0

    def __post_init__(self) -> None:
        for table in (OutboxMessage, Stream, CatchUpRequest):
            table.objects.using(SOURCE).all().delete()
        Cursor.objects.using(LISTENER).all().delete()
        DeadLetter.objects.using(LISTENER).all().delete()
        self._clear_ledger()
        self._relays = [relay_of(SOURCE, self._carry), relay_of(SOURCE, self._carry)]
        self._overtaken = self._crashes_after_sending = False

    # The producer

    def begin(self, writer: int, key: str, *, fate: str = "sound") -> None:
        """Open a transaction that publishes; it waits if another one holds the key."""
        self.last_number += 1
        if self.writers.begin(writer, key, self.last_number):
            fates = {
                "poison": self.ledger.poison,
                "flaky": self.ledger.flaky,
                "unreadable": self.ledger.unreadable,
            }
            fates.get(fate, set()).add(self.last_number)
        if not self.writers.hold_transactions:
            self.end(writer)

    def end(self, writer: int, *, commit: bool = True) -> None:
        """Commit or roll back, unless the transaction is still waiting for its key."""
        ended = self.writers.end(writer, commit=commit)
        if ended and commit:
            self.committed[ended.key].append(ended.number)
            if ended.number in self.ledger.unreadable:
                self._spoil(ended.key, ended.number)

    def say(self, key: str, *, fate: str = "sound") -> None:
        """Publish and commit, with a writer that is free."""
        writer = self.writers.free()
        if writer is not None:
            self.begin(writer, key, fate=fate)
            self.end(writer)

    def say_all(self, messages: Iterable[tuple[str, str]]) -> None:
        """Publish messages of these keys and fates, each in its own transaction."""
        for key, fate in messages:
            self.say(key, fate=fate)

    def sequence(self) -> None:
        self._relays[0].sequence()

    def send(self, *, crashes: bool = False, overtaken: bool = False) -> None:
        """Send and settle; or crash in between; or be overtaken by a second leader between reading and sending."""
        self._crashes_after_sending, self._overtaken = crashes, overtaken
        with suppress(Crash):
            self._relays[0].send()
        self._crashes_after_sending = self._overtaken = False

    def restart_relay(self) -> None:
        """A relay that has just started announces every stream."""
        self._relays[0] = relay_of(SOURCE, self._carry)
        with tuned(announce_first=timedelta(0)):
            self._relays[0].send()

    def back_up(self) -> None:
        tables = {table: list(table.objects.using(SOURCE).all()) for table in (OutboxMessage, Stream)}
        self.backup = Backup(tables, {key: list(numbers) for key, numbers in self.committed.items()})

    def restore(self) -> None:
        """Restore the producer's backup. Later messages that were delivered remain at their subscribers."""
        if self.backup is None:
            return
        self.writers.abandon()
        CatchUpRequest.objects.using(SOURCE).all().delete()
        for table, rows in self.backup.tables.items():
            table.objects.using(SOURCE).all().delete()
            table.objects.using(SOURCE).bulk_create(rows)
        self.committed = {key: list(numbers) for key, numbers in self.backup.committed.items()}

    def rewrite(self, messages: Iterable[tuple[str, str]]) -> None:
        """Publish and send, then restore the backup from before; the sent batches are held until `let_go`."""
        self.back_up()
        waiting, self.broker = self.broker, []
        self.say_all(messages)
        self.sequence()
        self.send()
        self.late += self.broker
        self.broker = waiting
        self.restore()

    # The broker

    def lose(self, index: int) -> None:
        if self.broker:
            self.broker.pop(index % len(self.broker))

    def repeat(self, index: int) -> None:
        if self.broker:
            self.broker.append(self.broker[index % len(self.broker)])

    def hold(self, index: int) -> None:
        """Keep a batch back until `let_go`, whatever happens meanwhile."""
        if self.broker:
            self.late.append(self.broker.pop(index % len(self.broker)))

    def let_go(self) -> None:
        """Put the batches that were held back at the front."""
        self.broker[:0] = self.late
        self.late.clear()

    def purge(self) -> None:
        self.broker.clear()

    def bring_request(self, *, lost: bool = False) -> None:
        if self.requests:
            request = self.requests.pop(0)
            if not lost:
                replay.ask(SOURCE, request)

    # The subscriber

    def deliver(self, index: int = 0, *, crash: str = "") -> None:
        """Deliver a batch. It stays, not acknowledged, if the consumer crashes before or after its commit."""
        if not self.broker:
            return
        index %= len(self.broker)
        self.ledger.crashes = crash == "before"
        try:
            delivery = Delivery(self.ledger.subscription, *decode(self.broker[index].body))
        except MalformedMessage:  # the worker drops an unreadable batch
            self.broker.pop(index)
            return
        request = None
        try:
            # A failure that is no crash is logged by the worker, and the batch is dropped.
            with suppress(DatabaseError):
                request = consume.apply(delivery)
        except Crash:
            return
        finally:
            self.ledger.crashes = False
        if crash == "after":
            return
        self.broker.pop(index)
        if request:
            self.requests.append(request)
        self._check_alarms()

    def redrive(self, key: str) -> None:
        """Redrive a key as an operator's command does, which stops at the first failure."""
        selection = Selection(module=LISTENER, subscription=self.ledger.subscription.name, key=key)
        for outcome in redrive.redrive(selection, [self.ledger.subscription]):
            if outcome.failure and not isinstance(outcome.failure, ValueError | MalformedMessage):
                raise outcome.failure

    def reset(self) -> None:
        """Reset the projection to 0: its effects, its cursors and its parked messages."""
        with transaction.atomic(using=LISTENER):
            self._clear_ledger()
            self.clear_parked()
            for cursor in Cursor.objects.using(LISTENER).select_for_update():
                cursor.resume(0, None)
                cursor.save()

    # The end

    def heal(self) -> None:
        """End all faults, work until nothing is left to do, and rebuild a diverged projection.

        Raises Violation if that never ends.
        """
        self.writers.settle(self.end)
        self.let_go()
        # The working relay notices only when it sends that a restore deleted its streams: its `sequence` would not end.
        self._relays[0] = relay_of(SOURCE, self._carry)
        seen: list[list[str]] = []
        self.ledger.poison.clear()
        self.ledger.flaky.clear()
        for _ in range(ROUNDS):
            while self._relays[0].sequence():
                pass
            self.restart_relay()
            while self.broker:
                self.deliver()
            while self.requests:
                self.bring_request()
            for message_id, body in self.bodies.items():
                DeadLetter.objects.using(LISTENER).filter(message_id=message_id).update(body=body)
            for key in KEYS:
                self.redrive(key)
            if Cursor.objects.using(LISTENER).filter(state=Cursor.State.DIVERGED).exists():
                self.reset()
            seen.append(self._unrest())
            if not seen[-1]:
                return
            if seen[-STANDSTILL:] == [seen[-1]] * STANDSTILL:
                break
        raise Violation(f"never comes to rest: {seen[-1]}")

    def verify(self) -> None:
        """Raise Violation unless the committed messages were applied once each, in their keys' order."""
        for key in KEYS:
            applied = self.ledger.numbers(key)
            if applied != self.committed[key]:
                raise Violation(f"key {key}: committed {self.committed[key]}, applied {applied}")

    def _spoil(self, key: str, number: int) -> None:
        """Make a message's bytes unreadable in the outbox for ever: only its dead letter can be repaired."""
        row = OutboxMessage.objects.using(SOURCE).get(key=key, body__contains=f'"number":{number}}}')
        self.bodies[row.message_id] = row.body
        OutboxMessage.objects.using(SOURCE).filter(pk=row.pk).update(body=deep(1_500))

    def _check_alarms(self) -> None:
        """Raise Violation if a stream is diverged although the producer still has the message at the cursor."""
        for cursor in Cursor.objects.using(LISTENER).filter(state=Cursor.State.DIVERGED):
            read = {"audience": cursor.audience, "partition": cursor.partition, "message_id": cursor.message_id}
            if OutboxMessage.objects.using(SOURCE).filter(**read, position=cursor.position).exists():
                raise Violation(f"false alarm: the producer has what was read by {cursor}")

    def _unrest(self) -> list[str]:
        streams = list(Stream.objects.using(SOURCE).filter(partition__in=USED))
        cursors = {cursor.partition: cursor for cursor in Cursor.objects.using(LISTENER)}
        behind = [
            f"{stream} has {stream.head}, the cursor is at {cursor.position} and knows of {cursor.head}"
            for stream in streams
            if (cursor := cursors.get(stream.partition, Cursor())).state == Cursor.State.ACTIVE
            and not cursor.position == cursor.head == stream.head
        ]
        unsent = [f"{stream} is not sent" for stream in streams if stream.sent != stream.head]
        asked = [str(request) for request in CatchUpRequest.objects.using(SOURCE).all()]
        return behind + unsent + asked + [str(letter) for letter in DeadLetter.objects.using(LISTENER).all()]

    def _carry(self, batches: Sequence[Outgoing]) -> None:
        if self._overtaken:
            self._overtaken = False
            self._relays[1].step()
        # No subscriber reads the streams without a key of these tests.
        self.broker += [batch for batch in batches if int(batch.routing_key.rpartition(".")[2]) in USED]
        if self._crashes_after_sending:
            raise Crash

    def clear_parked(self) -> None:
        DeadLetter.objects.using(LISTENER).all().delete()

    def _clear_ledger(self) -> None:
        with connections[LISTENER].cursor() as cursor:
            cursor.execute("DELETE FROM test_ledger")


@contextmanager
def tuned(**values: Any) -> Iterator[None]:
    """The kernel's settings with some changed."""
    with override_settings(PANGAEA=replace(settings.PANGAEA, **values)):
        yield
