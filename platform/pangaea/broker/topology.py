"""The exchange, the modules' queues and their bindings: how they are named and declared.

A queue is called `<prefix><module>.inbox.<n>of<count>`, so with another count a module has other queues. While a change
of the count is rolled out or rolled back, processes with either count run, and the queues of both exist side by side.
Queues that no process needs any more are deleted after QUEUE_EXPIRY: on RabbitMQ by the server, once they had no
consumer for that time; on Redis by any process that declares queues (see `redis_queues`).

A queue may be deleted at any time, because subscribers find the gap and request it (ADR 0019). So a queue with other
arguments, or one that delivers messages that its module does not subscribe to, is recreated. A process recreates a
queue with other arguments when it first checks it; after that, only if a difference has lasted for QUEUE_EXPIRY.
Otherwise two processes with different settings would repeatedly delete each other's queues while a change is rolled
out.
"""

from collections.abc import Iterable
from contextlib import suppress
from time import monotonic
from typing import Any

import amqp
import structlog
from celery import Celery
from django.conf import settings
from kombu import Exchange, Queue, binding

from pangaea import modules
from pangaea.broker import redis_queues
from pangaea.broker.errors import as_operational
from pangaea.configuration.declared import Declared
from pangaea.messages import ALL
from pangaea.wire import PARTITIONS

log = structlog.get_logger()

DELIVERY_LIMIT = 20
"""Deliveries of one message after which RabbitMQ drops it, so that none is delivered for ever. A worker parks a poison
message long before. Subscribers find the gap. RabbitMQ 4 has this limit by default."""

DECLARE_TIMEOUT = 10
"""Seconds for the broker to answer each declaration. Deleting a quorum queue that does not answer takes it five."""


class SharedExchange(Exchange):
    """An exchange that is declared on RabbitMQ only if it is missing: a module's user may not declare or delete it."""

    def declare(self, nowait: bool = False, passive: bool | None = None, channel: Any = None) -> Any:  # noqa: FBT001, FBT002
        """Declare it if it is missing. Raises ConnectionResetError, after which callers retry, if this user may not."""
        channel = channel or self.channel
        if not isinstance(channel.connection, amqp.Connection):
            return super().declare(nowait=nowait, passive=passive, channel=channel)
        # An error closes the channel on which it happens.
        with suppress(amqp.NotFound), channel.connection.channel() as trial:
            return super().declare(passive=True, channel=trial)
        try:
            with channel.connection.channel() as trial:
                return super().declare(channel=trial)
        except amqp.AccessRefused as error:
            raise ConnectionResetError(
                f"The exchange {self.name!r} is missing, and this user may not declare it: import the definitions that "
                "`manage.py permissions render --rabbitmq` writes."
            ) from error


def exchange(declared: Declared) -> Exchange:
    """The exchange that routes every message."""
    return SharedExchange(f"{declared.broker_prefix}streams", type="topic", durable=True)


def queues(declared: Declared, labels: Iterable[str], *, virtual: bool) -> list[Queue]:
    """The queues of these modules, with their bindings."""
    arguments: dict[str, Any] = {}
    if not virtual:
        arguments = {
            "x-queue-type": "quorum",
            "x-single-active-consumer": True,
            "x-delivery-limit": DELIVERY_LIMIT,
            "x-max-length": declared.queue_length,
            "x-max-length-bytes": declared.queue_bytes,
            "x-overflow": "drop-head",
            "x-expires": round(declared.queue_expiry.total_seconds() * 1000),
        }
    shared, count = exchange(declared), declared.queues_per_module
    return [
        Queue(
            name_of(label, number, count, prefix=declared.broker_prefix),
            bindings=[binding(shared, routing_key=key) for key in _routing_keys(label, number, count)],
            durable=True,
            queue_arguments=arguments,
        )
        for label in labels
        for number in range(count)
    ]


def name_of(label: str, number: int, count: int, *, prefix: str | None = None) -> str:
    """The name of one of a module's `count` queues, with this process's prefix or another one."""
    return f"{settings.PANGAEA.broker_prefix if prefix is None else prefix}{label}.inbox.{number}of{count}"


def _routing_keys(label: str, number: int, count: int) -> list[str]:
    partitions = ["*"] if count == 1 else [str(each) for each in range(PARTITIONS) if each % count == number]
    prefixes = [source + "." + ALL for source in sorted(sources_of(label))]
    return [f"{prefix}.{partition}" for prefix in [*prefixes, f"*.{label}"] for partition in partitions]


def sources_of(label: str) -> set[str]:
    """The modules whose events an installed module subscribes to."""
    return {source for each in modules.named(label).load_subscriptions() for source in each.sources}


def module_of_queue(queue: str) -> str:
    """The module to which the queue with this name belongs."""
    return queue.removeprefix(settings.PANGAEA.broker_prefix).partition(".inbox.")[0]


def subscribes_to(queue: str, routing_key: str) -> bool:
    """Whether the queue's module subscribes to messages with this routing key."""
    label = module_of_queue(queue)
    sender, audience, _ = f"{routing_key}..".split(".", 2)
    return audience == label or (audience == ALL and sender in sources_of(label))


def declare(celery: Celery) -> None:
    """Declare the exchange and the installed modules' queues and bindings. Before this, messages reach no module.

    Processes repeat the declaration: an operator may delete a queue, and a broker may lose all queues in a restart. It
    uses its own connection, because a connection to Redis declares a queue only once. Raises kombu's OperationalError
    if the broker does not answer or refuses it.
    """
    options = options_with_timeout(celery, DECLARE_TIMEOUT)
    with as_operational(celery), celery.connection_for_write(transport_options=options) as connection:
        declare_on(celery, connection.default_channel, list(celery.amqp.queues.values()))
        if connection.transport.driver_type == "redis":
            redis_queues.tidy(connection.default_channel, settings.PANGAEA, celery.amqp.queues.values())


def options_with_timeout(celery: Celery, seconds: float) -> dict[str, Any]:
    """The transport's options for a connection on which each answer may take at most this long."""
    names = ("socket_timeout", "socket_connect_timeout")
    if celery.conf.broker_url.startswith("amqp"):
        names = ("read_timeout", "write_timeout")
    return {**celery.conf.broker_transport_options, **dict.fromkeys(names, seconds)}


def declare_on(celery: Celery, channel: Any, wanted: Iterable[Queue]) -> None:
    """Declare these queues, their bindings and the exchange on an open connection."""
    exchange(settings.PANGAEA)(channel).declare()
    if not isinstance(channel.connection, amqp.Connection):
        for queue in wanted:
            queue(channel).declare()
        return
    celery.queue_differences.verify(channel.connection, exchange(settings.PANGAEA))
    for queue in wanted:
        celery.queue_differences.resolve(channel.connection, queue)


class QueueDifferences:
    """The RabbitMQ queues that differ from this process's settings, and since when they do. Thread-safe."""

    def __init__(self) -> None:
        self._verified = False
        self._checked: set[str] = set()
        self._arguments: dict[str, float] = {}
        self._bindings: dict[str, float] = {}
        self._unanswered: set[str] = set()
        self._subscribed: set[tuple[str, str]] = set()

    def verify(self, connection: amqp.Connection, shared: Exchange) -> None:
        """Raise ConnectionResetError, after which callers retry, if the exchange is of another type. Asks only once.

        RabbitMQ compares types only for a user who may declare the exchange; for others `permissions apply` does.
        """
        if self._verified:
            return
        try:
            with connection.channel() as trial, suppress(amqp.AccessRefused):
                Exchange(shared.name, type=shared.type, durable=shared.durable, channel=trial).declare()
        except amqp.PreconditionFailed as error:
            raise ConnectionResetError(
                f"The exchange {shared.name!r} is not as declared, so messages reach the wrong queues or none "
                f"({error.reply_text}). Let an administrator delete it: it is then declared again."
            ) from error
        self._verified = True

    def note_unanswered(self, queue: str) -> None:
        """Note that a queue does not answer, so that its next declaration deletes it first."""
        self._unanswered.add(queue)

    def note_received(self, queue: str, routing_key: str) -> None:
        """Note a message that a binding of former settings may have routed. RabbitMQ's clients cannot list bindings."""
        stream = queue, routing_key.rpartition(".")[0]
        if stream in self._subscribed:
            return
        if subscribes_to(queue, routing_key):
            self._subscribed.add(stream)
        else:
            self._bindings.setdefault(queue, monotonic())

    def resolve(self, connection: amqp.Connection, queue: Queue) -> None:
        """Declare a queue with its bindings. A queue that differs is recreated when that is due (see above)."""
        if queue.name in self._unanswered:
            self._recreate(connection, queue, "it did not answer")
            return
        if _has_lasted(self._bindings.get(queue.name)):
            self._recreate(connection, queue, "it delivered messages that its module does not subscribe to")
            return
        try:
            _declare(connection, queue)
        except amqp.PreconditionFailed as error:
            since = self._arguments.setdefault(queue.name, monotonic())
            if queue.name not in self._checked or _has_lasted(since):
                self._recreate(connection, queue, error.reply_text)
            else:
                # A process with other settings declared it. It is usable, and also gets the bindings of this process.
                _declare(connection, queue, passive=True)
        else:
            self._arguments.pop(queue.name, None)
        self._checked.add(queue.name)

    def _recreate(self, connection: amqp.Connection, queue: Queue, reason: str) -> None:
        log.warning("queue recreated", queue=queue.name, reason=reason)
        # Cleared before the deletion, which may take seconds, so that another thread does not recreate the queue too.
        self._unanswered.discard(queue.name)
        self._bindings.pop(queue.name, None)
        self._arguments.pop(queue.name, None)
        self._checked.add(queue.name)
        with connection.channel() as trial:
            trial.queue_delete(queue.name)
        # Another process, with other arguments, may have declared it at that moment.
        with suppress(amqp.PreconditionFailed):
            _declare(connection, queue)


def _has_lasted(since: float | None) -> bool:
    return since is not None and monotonic() - since >= settings.PANGAEA.queue_expiry.total_seconds()


def _declare(connection: amqp.Connection, queue: Queue, *, passive: bool = False) -> None:
    # An error closes the channel on which it happens.
    with connection.channel() as trial:
        declared = queue(trial)
        declared.queue_declare(passive=passive)
        for each in queue.bindings:
            each.bind(declared, channel=trial)
