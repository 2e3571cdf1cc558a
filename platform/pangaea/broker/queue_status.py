"""The state of the modules' queues at the broker: how many batches wait, and whether a worker consumes them."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import amqp
from celery import Celery
from django.conf import settings

from pangaea.broker import celery_app, topology
from pangaea.broker.errors import as_operational
from pangaea.wire import PARTITIONS


@dataclass(frozen=True, slots=True)
class QueueStatus:
    """A queue. `consumers` is None on Redis, where a queue is a list whose consumers are unknown."""

    name: str
    module: str
    batches: int
    consumers: int | None
    exists: bool = True
    is_left_over: bool = False
    """Whether it is of another QUEUES_PER_MODULE. It is deleted once no process has used it for QUEUE_EXPIRY."""


def read(celery: Celery, labels: Iterable[str]) -> list[QueueStatus]:
    """The queues of these modules; empty for the in-memory broker, which no other process sees.

    Raises kombu's OperationalError if the broker does not answer within CONNECT_TIMEOUT, or refuses.
    """
    wanted = set(labels)
    names = [name for name in celery.amqp.queues if topology.module_of_queue(name) in wanted]
    url = str(settings.PANGAEA.broker_url)
    if not names or url.startswith("memory"):
        return []
    seconds = celery_app.CONNECT_TIMEOUT
    options = topology.options_with_timeout(celery, seconds)
    with (
        as_operational(celery),
        celery.connection_for_read(connect_timeout=seconds, transport_options=options) as connection,
    ):
        connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0, timeout=seconds)
        if connection.transport.driver_type == "redis":
            return _on_redis(connection.default_channel, names, wanted)
        found = [_declared(connection, name) for name in names]
        return found + [each for label in sorted(wanted) for each in _left_over(connection, label)]


def _on_redis(channel: Any, names: list[str], labels: set[str]) -> list[QueueStatus]:
    bound = {queue for *_, queue in channel.get_table(topology.exchange(settings.PANGAEA).name)}
    others = sorted(name for name in bound - set(names) if topology.module_of_queue(name) in labels)
    return [
        QueueStatus(
            name, topology.module_of_queue(name), int(channel.client.llen(name)), None, is_left_over=name in others
        )
        for name in [*names, *others]
    ]


def _declared(connection: Any, name: str, *, is_left_over: bool = False) -> QueueStatus:
    module = topology.module_of_queue(name)
    # The error for a missing queue closes the channel.
    with suppress(amqp.NotFound), connection.channel() as channel:
        found = channel.queue_declare(name, passive=True)
        return QueueStatus(name, module, found.message_count, found.consumer_count, is_left_over=is_left_over)
    return QueueStatus(name, module, 0, 0, exists=False, is_left_over=is_left_over)


def _left_over(connection: Any, label: str) -> Iterator[QueueStatus]:
    """A module's queues of another count. A client of RabbitMQ cannot list queues, so each possible name is tried."""
    for count in range(1, PARTITIONS + 1):
        if count == settings.PANGAEA.queues_per_module:
            continue
        for number in range(count):
            found = _declared(connection, topology.name_of(label, number, count), is_left_over=True)
            if found.exists:
                yield found
            elif number == 0:  # the queues of one count are declared and deleted together
                break
