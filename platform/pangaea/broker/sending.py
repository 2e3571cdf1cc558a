"""Sends batches, catch-up requests and reports. RabbitMQ confirms each message before a call returns."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from time import monotonic
from typing import Any

import msgspec
import structlog
from celery import Celery
from celery.utils.threads import bound_open_broker_sockets
from django.conf import settings
from kombu import pools
from kombu.exceptions import OperationalError

from pangaea.broker import publisher_confirms, topology
from pangaea.broker.admission import CATCH_UP, DELIVER, REPORT
from pangaea.broker.errors import as_operational
from pangaea.errors import RefusedByBroker, Unavailable
from pangaea.ids import uuid7
from pangaea.messages import module_of
from pangaea.outbox.batches import Outgoing
from pangaea.wire import CatchUp, Report

log = structlog.get_logger()

BROKER_TIMEOUT = 30
"""Seconds for the broker to answer. A broker that is stopped or blocks its publishers keeps the connection open."""
REQUEST_TIMEOUT = 2
"""The same time-out for requests and reports, which are repeated anyway: a consumer or maintenance thread waits."""
CLOSE_TIMEOUT = 1
"""Seconds to close a connection after a failure: its peer may be unreachable."""


class BatchSender:
    """Sends a relay's batches to their subscribers. After a failure it first declares the queues again.

    Raises RefusedByBroker, and Unavailable if the broker does not take the batches at the moment.
    """

    def __init__(self, celery: Celery) -> None:
        self._celery = celery
        self._is_healthy = True

    def __call__(self, batches: Sequence[Outgoing]) -> None:
        try:
            self._send(batches)
        except OperationalError as error:
            raise Unavailable(str(error) or type(error).__name__) from error

    def _send(self, batches: Sequence[Outgoing]) -> None:
        if not self._is_healthy:
            topology.declare(self._celery)
        self._is_healthy = False
        try:
            send_batches(self._celery, batches)
        except OperationalError as error:
            # Redis refuses no single message: it is read-only, full, or closed to this login.
            on_rabbitmq = self._celery.conf.broker_url.startswith("amqp")
            if on_rabbitmq and isinstance(error.__cause__, self._celery.connection_for_write().channel_errors):
                raise RefusedByBroker(str(error)) from error
            raise
        self._is_healthy = True


def send_batches(celery: Celery, batches: Sequence[Outgoing]) -> None:
    """Send batches to their subscribers."""
    send(celery, DELIVER, [(batch.routing_key, batch.body) for batch in batches])


def send_requests(celery: Celery, requests: Sequence[CatchUp]) -> None:
    """Send catch-up requests to producers. A lost request is repeated after CATCH_UP_RENEWAL.

    If the broker blocks publishers, the call takes REQUEST_TIMEOUT, and further requests are dropped until the first
    one is due again: a consumer that waited for each request would make no progress.
    """
    if monotonic() < celery.requests_paused_until:
        return
    outgoing = [
        (f"{module_of(request.subscription)}.{request.source}.{request.partition}", msgspec.json.encode(request))
        for request in requests
    ]
    began = monotonic()
    try:
        send(celery, CATCH_UP, outgoing, seconds=REQUEST_TIMEOUT)
    except OperationalError as error:
        if monotonic() - began >= REQUEST_TIMEOUT:
            celery.requests_paused_until = monotonic() + settings.PANGAEA.catch_up_renewal.total_seconds()
        log.warning("catch-up request failed", error=str(error))


def send_reports(celery: Celery, reports: Sequence[Report]) -> None:
    """Report subscribers' positions to producers. A lost report is followed by the next one."""
    send(
        celery,
        REPORT,
        [(f"{module_of(report.subscription)}.{report.source}.0", msgspec.json.encode(report)) for report in reports],
        seconds=REQUEST_TIMEOUT,
    )


def send(celery: Celery, task: str, outgoing: Sequence[tuple[str, bytes]], *, seconds: float = BROKER_TIMEOUT) -> None:
    """Send (routing key, body) pairs in order. Returns once the broker has them all; each answer may take `seconds`.

    Raises kombu's OperationalError if the broker does not answer or refuses a message.
    """
    exchange = topology.exchange(settings.PANGAEA)
    on_rabbitmq = celery.conf.broker_url.startswith("amqp")
    # On virtual transports an exchange's type is known only to the process that declared it; kombu declares it once.
    declare = [] if on_rabbitmq else [exchange]
    with as_operational(celery), _producer(celery, seconds) as producer:
        confirms = publisher_confirms.on(producer.channel) if on_rabbitmq else None
        for routing_key, body in outgoing:
            message = celery.amqp.as_task_v2(
                task_id=str(uuid7()), name=task, args=(body,), argsrepr="", kwargsrepr="", ignore_result=True
            )
            if confirms:
                confirms.expect()
            celery.amqp.send_task_message(
                producer,
                task,
                message,
                exchange=exchange.name,
                routing_key=routing_key,
                serializer="pangaea",
                declare=declare,
                delivery_mode=2,
                retry=False,
                **({"user_id": login_of(producer.connection)} if on_rabbitmq else {}),
            )
        if confirms:
            confirms.wait(producer.channel, seconds)


def login_of(connection: Any) -> str:
    """The RabbitMQ user of a connection."""
    return str(connection.userid or "guest")


@contextmanager
def _producer(celery: Celery, seconds: float) -> Iterator[Any]:
    """A producer of the pool. After a failure its connection is closed at once: kombu would wait for the handshake."""
    pool = celery.producer_pool
    if seconds != BROKER_TIMEOUT:
        options = topology.options_with_timeout(celery, seconds)
        pool = pools.producers[celery.connection_for_write(transport_options=options)]
    with pool.acquire(block=True) as producer:
        try:
            yield producer
        except BaseException:
            close_now(producer.connection)
            raise


def close_now(connection: Any) -> None:
    """Close a connection whose peer may be unreachable, without the closing handshake."""
    bound_open_broker_sockets(connection, CLOSE_TIMEOUT)
    with suppress(Exception):  # the connection is broken: an error while closing it does not matter
        connection.collect(socket_timeout=CLOSE_TIMEOUT)
