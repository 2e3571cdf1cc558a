"""The bus: a Celery app on one topic exchange, with queues that belong to modules.

A batch is one Celery message with the routing key `<module>.<audience>.<partition>`; a request to catch up has
`<requester>.<module asked>.<partition>`. So the first word is always the sender, and a broker can restrict who writes
it. A queue of a module is bound to `<source>.all.*` of every module it listens to, and to `*.<itself>.*` for what is
meant for it alone. No result backend, no Celery retry, no countdown: cursors and dead letters are the retry machinery.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from time import monotonic
from typing import Any

import msgspec
import structlog
from celery import Celery
from celery.signals import setup_logging, worker_process_init
from celery.utils.threads import bound_open_broker_sockets
from django.conf import settings
from django.db import connections
from kombu import pools
from kombu.exceptions import OperationalError
from kombu.serialization import register

from pangaea import admission, broker_tls, modules, publisher_confirms, topology
from pangaea.admission import CATCH_UP, CONTENT_TYPE, DELIVER, REPORT
from pangaea.errors import RefusedByBroker
from pangaea.heartbeat import Pulse
from pangaea.ids import uuid7
from pangaea.inbox import consume
from pangaea.messages import CatchUp, Report, module_of
from pangaea.outbox import replay, subscribers
from pangaea.outbox.batches import Outgoing
from pangaea.settings.declared import Declared

log = structlog.get_logger()

BROKER_TIMEOUT = 4
"""Seconds for a connection to the broker to come about."""
BROKER_PATIENCE = 30
"""Seconds for the broker to answer: one that is stopped, or blocks its publishers, keeps the connection open."""
REQUEST_TIMEOUT = 2
"""The same for what is asked again anyway: a consumer, or the upkeep of the queues, waits for it."""
BROKER_HEARTBEAT = 10
"""Seconds between signs of life on a worker's connection. Who hears none for some two of them gives the connection up;
RabbitMQ does so too, and until then no other worker gets what is in the queue."""
FAREWELL = 1
"""Seconds for the broker to hear that a connection on which something failed is closed. It may lead nowhere."""

# The body of a Celery message is (args, kwargs, embed). Ours is one argument that is already JSON: it passes through as
# bytes, so neither the relay nor Celery parses a payload on the way.
register(
    "pangaea",
    lambda payload: payload[0][0],
    lambda body: ([bytes(body)], {}, {}),
    content_type=CONTENT_TYPE,
    content_encoding="binary",
)


def make_app(declared: Declared) -> Celery:
    """A Celery app on `declared.broker_url`; the module's queues are those of the installed modules."""
    app = Celery("pangaea", amqp="pangaea.queue_worker:BusAMQP", fixups=[], set_as_current=False)
    app.pulse = Pulse("queues")
    app.leaving = threading.Event()
    app.queue_differences = topology.QueueDifferences()
    app.refused = admission.Refused()
    app.requests_resume = 0.0
    virtual = not declared.broker_url.startswith("amqp")
    # One attempt at a time: whoever sends has a backoff of its own, and must hear in between that it is to stop.
    options: dict[str, Any] = {"max_retries": 0}
    if not virtual:
        options |= {"read_timeout": BROKER_PATIENCE, "write_timeout": BROKER_PATIENCE}
    if declared.broker_url.startswith("redis"):
        options |= {
            "socket_timeout": BROKER_PATIENCE,
            "socket_keepalive": True,
            "health_check_interval": BROKER_HEARTBEAT,
            "refused": app.refused,
            "exchange": topology.exchange(declared).name,
        }
    if declared.broker_url.startswith("memory"):
        options["polling_interval"] = 0.01
    app.conf.update(
        broker_url=declared.broker_url,
        broker_transport="pangaea.redis_transport:Transport" if declared.broker_url.startswith("redis") else None,
        broker_use_ssl=broker_tls.options(declared),
        broker_transport_options=options,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_connection_timeout=BROKER_TIMEOUT,
        broker_heartbeat=BROKER_HEARTBEAT,
        # A queue that is deleted while a worker declares or consumes it is an error of a channel: it connects again.
        broker_channel_error_retry=True,
        accept_content=["pangaea"],
        task_serializer="pangaea",
        task_queues=topology.queues(declared, modules.labels(), virtual=virtual),
        task_create_missing_queues=False,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_ignore_result=True,
        task_protocol=2,
        worker_prefetch_multiplier=4,
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_consumer="pangaea.queue_worker:BusConsumer",
        # A lost connection requeues what was unacknowledged; finishing the batch at hand is harmless: its cursor moved.
        worker_cancel_long_running_tasks_on_connection_loss=False,
    )
    app.steps["worker"].add("pangaea.retry_timer:RetryTimer")

    @app.task(name=DELIVER, bind=True, shared=False)
    def deliver(task: Any, body: bytes) -> None:
        requests = consume.receive(topology.module_of_queue(task.request.x_queue), body, sender=_sender_of(task))
        if requests:
            send_requests(app, requests)

    @app.task(name=CATCH_UP, bind=True, shared=False)
    def catch_up(task: Any, body: bytes) -> None:
        module = topology.module_of_queue(task.request.x_queue)
        connections[module].close_if_unusable_or_obsolete()
        replay.receive(module, body, sender=_sender_of(task))

    @app.task(name=REPORT, bind=True, shared=False)
    def report(task: Any, body: bytes) -> None:
        module = topology.module_of_queue(task.request.x_queue)
        connections[module].close_if_unusable_or_obsolete()
        subscribers.receive(module, body, sender=_sender_of(task))

    return app


@cache
def app() -> Celery:
    """This process's Celery app."""
    return make_app(settings.PANGAEA)


def _sender_of(task: Any) -> str:
    """Who wrote the routing key: on RabbitMQ only the module that it begins with has the right to."""
    routing_key: str = task.request.delivery_info["routing_key"]
    return routing_key.partition(".")[0]


class Carriage:
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
            cut(producer.connection)
            raise


def cut(connection: Any) -> None:
    """Give up a connection that may lead nowhere, without waiting for the broker to agree."""
    bound_open_broker_sockets(connection, FAREWELL)
    with suppress(Exception):  # it is broken: what closing it says does not matter
        connection.collect(socket_timeout=FAREWELL)


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


@setup_logging.connect(weak=False)
def _keep_logging(**_: Any) -> None:
    """Being connected is enough: Celery leaves logging as Django configured it."""


@worker_process_init.connect(weak=False)
def _after_fork(**_: Any) -> None:
    """A database connection must not be shared with the parent process."""
    connections.close_all()
