"""A stream that a test controls: orders publishes ticks, web_bff records them in a ledger, and a list is the broker."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import ClassVar

from django.db import connections, transaction

from pangaea import outbox
from pangaea.inbox import consume
from pangaea.inbox.batches import decode
from pangaea.inbox.delivery import Delivery
from pangaea.inbox.subscriptions import Projection, Subscription
from pangaea.messages import Event, Received
from pangaea.outbox import replay
from pangaea.outbox.batches import Outgoing
from pangaea.wire import CatchUp
from tests.kernel.relays import relay_of

SOURCE, LISTENER = "orders", "web_bff"


class Tick(Event, frozen=True, kw_only=True):
    """A numbered event. It is declared as one of orders' own, since only the owning module may publish."""

    __module__ = "modules.orders.messages"
    wire_name: ClassVar[str] = "orders.tick"
    number: int


def say(key: str, *numbers: int) -> None:
    """Publish ticks, each in its own transaction."""
    for number in numbers:
        with transaction.atomic(using=SOURCE):
            outbox.publish(Tick(number=number), key=key)


class Ledger:
    """A subscription that writes every tick into a table of its own, and fails at those in `poison`."""

    def __init__(self) -> None:
        self.poison: set[int] = set()
        self.subscription: Subscription = Projection("web_bff.ledger")
        self.subscription.on(Tick)(self._write)

    def _write(self, message: Received[Tick]) -> None:
        with connections[LISTENER].cursor() as cursor:
            cursor.execute(
                "INSERT INTO test_ledger (message_key, number) VALUES (%s, %s)", [message.key, message.payload.number]
            )
        if message.payload.number in self.poison:
            text = f"poison {message.payload.number}"
            raise ValueError(text)

    def numbers(self, key: str | None = None) -> list[int]:
        """The applied numbers in order, of one key or of all."""
        with connections[LISTENER].cursor() as cursor:
            cursor.execute("SELECT message_key, number FROM test_ledger ORDER BY id")
            return [number for found, number in cursor.fetchall() if key in {None, found}]


@contextmanager
def ledger_table() -> Iterator[None]:
    """The ledger's table, while the test runs."""
    kind = "bigserial" if connections[LISTENER].vendor == "postgresql" else "integer"
    with connections[LISTENER].cursor() as cursor:
        cursor.execute(f"CREATE TABLE test_ledger (id {kind} PRIMARY KEY, message_key text, number bigint)")
    try:
        yield
    finally:
        with connections[LISTENER].cursor() as cursor:
            cursor.execute("DROP TABLE test_ledger")


class Wire:
    """The broker as a list that tests may cut, shuffle and repeat."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.relay = relay_of(SOURCE, self.carry)
        self.batches: list[Outgoing] = []
        self.requests: list[CatchUp] = []
        self.is_down = False

    def carry(self, batches: Sequence[Outgoing]) -> None:
        """Take batches from the relay, as a broker would."""
        if self.is_down:
            text = "the broker is down"
            raise ConnectionError(text)
        self.batches += batches

    def pump(self) -> None:
        """Relay, deliver and answer requests until nothing is left."""
        while self.relay.step() or self.batches or self.requests:
            self.deliver_all()
            self.answer()

    def deliver_all(self) -> None:
        """Deliver the waiting batches, in order."""
        while self.batches:
            self.deliver(self.batches.pop(0))

    def deliver(self, outgoing: Outgoing) -> None:
        """Deliver one batch; a request that it causes is kept."""
        request = consume.apply(Delivery(self.ledger.subscription, *decode(outgoing.body)))
        if request:
            self.requests.append(request)

    def answer(self) -> None:
        """Deliver the requests to the producer."""
        while self.requests:
            replay.ask(SOURCE, self.requests.pop(0))
