"""Orders that reach web_bff over a broker that the test controls, and the commands that replay them."""

import io
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.core.management import call_command
from django.db import connections, transaction

from modules.orders.messages import Line, OrderCancelled, OrderPlaced
from modules.web_bff.models import OrderLine, OrderSummary, TimelineEntry
from pangaea import outbox
from pangaea.databases.engines.sqlite.engine import shadow_files
from pangaea.ids import uuid7
from pangaea.inbox import consume
from pangaea.inbox.models import Cursor
from pangaea.inbox.rebuild import shadows
from pangaea.management.commands import rebuild, reconcile
from pangaea.messages import Money
from pangaea.outbox import replay
from pangaea.outbox.batches import Outgoing
from pangaea.outbox.models import OutboxMessage, Stream
from pangaea.wire import CatchUp
from tests.kernel.relays import relay_of

SOURCE, LISTENER = "orders", "web_bff"
ORDERS = "web_bff.orders"


def place(*skus: str) -> UUID:
    """Publish that an order of these products was placed."""
    order_id = uuid7()
    placed = OrderPlaced(
        order_id=order_id,
        customer_id=UUID(int=1),
        lines=tuple(Line(sku=sku, name=f"The {sku}", quantity=2, unit_price=Money(500, "EUR")) for sku in skus),
        total=Money(1000 * len(skus), "EUR"),
        placed_at=datetime.now(UTC),
    )
    with transaction.atomic(using=SOURCE):
        outbox.publish(placed, key=str(order_id))
    return order_id


def cancel(order_id: UUID) -> None:
    """Publish that an order was cancelled."""
    cancelled = OrderCancelled(order_id=order_id, customer_id=UUID(int=1), cancelled_at=datetime.now(UTC))
    with transaction.atomic(using=SOURCE):
        outbox.publish(cancelled, key=str(order_id))


class Wire:
    """The broker between the relay of orders and the worker of web_bff, both of which the test drives."""

    def __init__(self) -> None:
        self.relay = relay_of(SOURCE, self.carry)
        self.batches: list[Outgoing] = []

    def carry(self, batches: Sequence[Outgoing]) -> None:
        """Take batches from the relay."""
        self.batches += batches

    def pump(self) -> None:
        """Relay and deliver until nothing is left."""
        while self.relay.step() or self.batches:
            self.deliver()

    def deliver(self) -> None:
        """Let the worker apply the waiting batches."""
        while self.batches:
            self.ask(consume.receive(LISTENER, self.batches.pop(0).body))

    def ask(self, requests: Sequence[CatchUp]) -> None:
        """Deliver requests to the producer; the commands' `send` while a thread pumps."""
        for request in requests:
            replay.ask(SOURCE, request)

    def answer(self, requests: Sequence[CatchUp]) -> None:
        """Deliver requests to the producer, and the answers; the commands' `send` while no thread pumps."""
        self.ask(requests)
        self.pump()

    @contextmanager
    def pumping(self) -> Iterator[None]:
        """Relay and worker in a thread of their own, while the context lasts."""
        stop = threading.Event()
        failures: list[BaseException] = []

        def run() -> None:
            try:
                while not stop.is_set():
                    self.pump()
                    stop.wait(0.002)
                self.pump()
            except BaseException as error:  # noqa: BLE001 - raised again below
                failures.append(error)
            finally:
                shadows.release(LISTENER)
                connections.close_all()

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
        for failure in failures:
            raise failure


@dataclass
class Printed:
    """The output of a command, and its exit status."""

    stdout: str
    stderr: str
    status: int = 0


def run(command: rebuild.Command | reconcile.Command, *arguments: str, **options: Any) -> Printed:
    """Run a command to its end; CommandError passes through."""
    out, err = io.StringIO(), io.StringIO()
    status = 0
    try:
        call_command(command, *arguments, stdout=out, stderr=err, **options)
    except SystemExit as end:
        status = int(str(end.code))
    return Printed(out.getvalue(), err.getvalue(), status)


def shown() -> dict[str, Any]:
    """All rows of the projection, without ids that the database assigns."""
    return {
        "orders": list(OrderSummary.objects.order_by("id").values()),
        "lines": list(OrderLine.objects.order_by("order_id", "id").values("order_id", "sku", "name", "quantity")),
        "timeline": list(TimelineEntry.objects.order_by("order_id", "at").values("order_id", "what", "at")),
    }


def positions() -> list[tuple[int, int, str]]:
    """Partition, position and state of the projection's cursors."""
    cursors = Cursor.objects.using(LISTENER).filter(subscription=ORDERS, position__gt=0).order_by("partition")
    return list(cursors.values_list("partition", "position", "state"))


def table(printed: Printed) -> list[list[str]]:
    return [line.split() for line in printed.stdout.splitlines()]


def nothing_is_left() -> bool:
    """Whether the last replay removed its tables."""
    connection = connections[LISTENER]
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'web_bff_shadow'")
            tables = cursor.fetchone()[0]
    else:
        tables = len(shadow_files(connection))
    return not tables


class Terminal(io.StringIO):
    """A terminal at which an operator answers."""

    def isatty(self) -> bool:
        return True


@contextmanager
def writing() -> Iterator[list[tuple[UUID, str]]]:
    """Place and cancel orders in another thread; gives the ids with their final states."""
    stop = threading.Event()
    written: list[tuple[UUID, str]] = []

    def write() -> None:
        try:
            while not stop.wait(0.05):
                order_id = place("A")
                if len(written) % 2:
                    cancel(order_id)
                written.append((order_id, "cancelled" if len(written) % 2 else "placed"))
        finally:
            connections.close_all()

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield written
    finally:
        stop.set()
        thread.join()


def forget_the_end() -> None:
    """Restore orders from a backup in which each stream holds one message."""
    OutboxMessage.objects.using(SOURCE).filter(position__gt=1).delete()
    for partition, message_id in OutboxMessage.objects.using(SOURCE).values_list("partition", "message_id"):
        Stream.objects.using(SOURCE).filter(partition=partition or 0).update(head=1, sent=1, sent_id=message_id)
