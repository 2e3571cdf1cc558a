"""The state of the modules' queues at the broker: how many batches wait, and whether a worker consumes them."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from celery import Celery
from django.conf import settings

from pangaea.broker import celery_app, topology
from pangaea.broker.errors import as_operational


@dataclass(frozen=True, slots=True)
class QueueStatus:
    """A queue. `consumers` is None on Redis, where a queue is a list whose consumers are unknown."""

    name: str
    module: str
    batches: int
    consumers: int | None
    exists: bool = True


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
            client = connection.default_channel.client
            return [QueueStatus(name, topology.module_of_queue(name), int(client.llen(name)), None) for name in names]
        return [_declared(connection, name) for name in names]


def _declared(connection: Any, name: str) -> QueueStatus:
    module = topology.module_of_queue(name)
    # The error for a missing queue closes the channel.
    with suppress(connection.channel_errors), connection.channel() as channel:
        found = channel.queue_declare(name, passive=True)
        return QueueStatus(name, module, found.message_count, found.consumer_count)
    return QueueStatus(name, module, 0, 0, exists=False)
