"""What is sent over the bus: batches, requests to catch up, reports. RabbitMQ confirms each before a call returns."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
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
from pangaea.errors import RefusedByBroker
from pangaea.ids import uuid7
from pangaea.messages import module_of
from pangaea.outbox.batches import Outgoing
from pangaea.wire import CatchUp, Report

log = structlog.get_logger()

BROKER_PATIENCE = 30
"""Seconds for the broker to answer: one that is stopped, or blocks its publishers, keeps the connection open."""
REQUEST_TIMEOUT = 2
"""The same for what is asked again anyway: a consumer, or the upkeep of the queues, waits for it."""
CLOSE_TIMEOUT = 1
"""Seconds for the broker to hear that a connection on which something failed is closed. It may lead nowhere."""


class BatchSender:
    """Brings batches to all who listen; the relay's Carrier. After a failure it declares again before it sends."""

    def __init__(self, celery: Celery) -> None:
        self._celery = celery
        self._sound = True

    def __call__(self, batches: Sequence[Outgoing]) -> None:
        if not self._sound:
            topology.declare(self._celery)
        self._sound = False
        try:
            send_batches(self._celery, batches)
        except OperationalError as error:
            if isinstance(error.__cause__, self._celery.connection_for_write().channel_errors):
                raise RefusedByBroker(str(error)) from error
            raise
        self._sound = True


def send_batches(celery: Celery, batches: Sequence[Outgoing]) -> None:
    """Carry batches to all who listen."""
    send(celery, DELIVER, [(batch.routing_key, batch.body) for batch in batches])


def send_requests(celery: Celery, requests: Sequence[CatchUp]) -> None:
    """Ask producers for what was missed. A request that is lost is asked again later.

    It holds its caller for few seconds when the broker blocks publishers, and then drops requests until the first of
    them is due again: a consumer that waits for each of them would stand still.
    """
    if monotonic() < celery.requests_resume:
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
            celery.requests_resume = monotonic() + settings.PANGAEA.catch_up_renewal.total_seconds()
        log.warning("request to catch up not sent", error=str(error))


def send_reports(celery: Celery, reports: Sequence[Report]) -> None:
    """Tell producers how far their listeners have come. A report that is lost is followed by the next one."""
    send(
        celery,
        REPORT,
        [(f"{module_of(report.subscription)}.{report.source}.0", msgspec.json.encode(report)) for report in reports],
        seconds=REQUEST_TIMEOUT,
    )


def send(celery: Celery, task: str, outgoing: Sequence[tuple[str, bytes]], *, seconds: float = BROKER_PATIENCE) -> None:
    """Send (routing key, body) pairs in order; returns once the broker has them all, with `seconds` for each answer.

    Raises kombu's OperationalError when the broker is down.
    """
    through = topology.exchange(settings.PANGAEA)
    on_rabbitmq = celery.conf.broker_url.startswith("amqp")
    # On virtual transports an exchange's type is known only to the process that declared it; kombu declares it once.
    declare = [] if on_rabbitmq else [through]
    with _reported_as_operational_error(celery), _producer(celery, seconds) as producer:
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
                exchange=through.name,
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
    """One of the pool. After a failure its connection is cut: kombu would say goodbye, and wait for the answer."""
    pool = celery.producer_pool
    if seconds != BROKER_PATIENCE:
        pool = pools.producers[celery.connection_for_write(transport_options=topology.limited(celery, seconds))]
    with pool.acquire(block=True) as producer:
        try:
            yield producer
        except BaseException:
            close_now(producer.connection)
            raise


def close_now(connection: Any) -> None:
    """Give up a connection that may lead nowhere, without waiting for the broker to agree."""
    bound_open_broker_sockets(connection, CLOSE_TIMEOUT)
    with suppress(Exception):  # it is broken: what closing it says does not matter
        connection.collect(socket_timeout=CLOSE_TIMEOUT)


@contextmanager
def _reported_as_operational_error(celery: Celery) -> Iterator[None]:
    """Each transport has errors of its own for a lost connection; kombu translates them only where it retries."""
    try:
        yield
    except _errors_of(celery) as error:
        raise OperationalError(str(error)) from error


@cache
def _errors_of(celery: Celery) -> tuple[type[Exception], ...]:
    connection = celery.connection_for_write()
    return (*connection.connection_errors, *connection.channel_errors)
