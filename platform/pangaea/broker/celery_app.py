"""The bus: a Celery app on one topic exchange, with queues that belong to modules.

A batch is one Celery message with the routing key `<module>.<audience>.<partition>`; a catch-up request has
`<requester>.<producer>.<partition>`, and a report has `<subscriber>.<producer>.0`. So the first word always names the
sender, and the broker can restrict which login sends it. A module's queues are bound to `<source>.all.*` of every
module that it subscribes to, and to `*.<module>.*` for messages addressed to it.

There is no result backend, no Celery retry and no countdown: cursors, dead letters and deadlines are the retry
machinery. ADR 0034 lists everything of Celery that is switched off, with the reasons.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import structlog
from celery import Celery
from celery.signals import setup_logging, worker_process_init
from django.conf import settings
from django.db import Error, connections
from kombu.serialization import register
from kombu.transport import TRANSPORT_ALIASES

from pangaea import modules
from pangaea.addresses import broker
from pangaea.broker import admission, redis_transport, tls, topology
from pangaea.broker.admission import CATCH_UP, CONTENT_TYPE, DELIVER, REPORT
from pangaea.broker.sending import BROKER_TIMEOUT, send_requests
from pangaea.configuration.declared import Declared
from pangaea.databases import errors, idle, outages
from pangaea.inbox import consume
from pangaea.outbox import replay, subscribers
from pangaea.telemetry.components import Component

log = structlog.get_logger()
CONNECT_TIMEOUT = 4
"""Seconds to establish a connection to the broker."""
BROKER_HEARTBEAT = 10
"""Seconds between heartbeats on a worker's connection. Either end closes the connection if it receives none for about
two intervals. Until RabbitMQ does, it delivers the queue's messages to no other worker."""


# The body of a Celery message is (args, kwargs, embed). Here it is one argument that is JSON already and passes through
# as bytes, so that neither the relay nor Celery parses a payload (ADR 0008).
register(
    "pangaea",
    lambda payload: payload[0][0],
    lambda body: ([bytes(body)], {}, {}),
    content_type=CONTENT_TYPE,
    content_encoding="binary",
)


# By scheme: for the next host of a cluster, kombu chooses the transport only by the scheme of the URL.
TRANSPORT_ALIASES.update(tls.TRANSPORTS | redis_transport.TRANSPORTS)


def make_app(declared: Declared) -> Celery:
    """A Celery app on `declared.broker_url`, with the queues of the installed modules. Raises Misconfigured."""
    address = broker.parse(declared.broker_url)
    app = Celery("pangaea", amqp="pangaea.broker.consumer:BusAMQP", fixups=[], set_as_current=False)
    app.component = Component("queues")
    app.stopping = threading.Event()
    app.queue_differences = topology.QueueDifferences()
    app.refused_messages = admission.RefusedMessages()
    app.requests_paused_until = 0.0
    virtual = not address.is_rabbitmq
    # A single attempt at each server: a sender has its own backoff, and checks between two attempts whether to stop.
    options: dict[str, Any] = {"max_retries": max(0, len(address.servers) - 1), "interval_start": 0, "interval_step": 0}
    if not virtual:
        options |= {"read_timeout": BROKER_TIMEOUT, "write_timeout": BROKER_TIMEOUT}
    if address.is_redis:
        options |= {
            "socket_timeout": BROKER_TIMEOUT,
            "socket_keepalive": True,
            "health_check_interval": BROKER_HEARTBEAT,
            "refused_messages": app.refused_messages,
            "exchange": topology.exchange(declared).name,
        }
    if address.is_in_process:
        options["polling_interval"] = 0.01
    app.conf.update(
        broker_url=address.for_kombu(),
        broker_use_ssl=tls.options(address, declared.broker_ca),
        broker_transport_options=options,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_connection_timeout=CONNECT_TIMEOUT,
        broker_heartbeat=BROKER_HEARTBEAT,
        # A queue that is deleted while a worker declares or consumes it is a channel error: the worker reconnects.
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
        worker_consumer="pangaea.broker.consumer:BusConsumer",
        # After a lost connection the broker requeues unacknowledged batches. The batch in progress finishes, and its
        # repetition is skipped by the cursor.
        worker_cancel_long_running_tasks_on_connection_loss=False,
    )
    app.steps["worker"].add("pangaea.broker.retry_timer:RetryTimer")

    @app.task(name=DELIVER, bind=True, shared=False)
    def deliver(task: Any, body: bytes) -> None:
        requests = consume.receive(topology.module_of_queue(task.request.x_queue), body, sender=_sender_of(task))
        if requests:
            send_requests(app, requests)

    @app.task(name=CATCH_UP, bind=True, shared=False)
    def catch_up(task: Any, body: bytes) -> None:
        module = topology.module_of_queue(task.request.x_queue)
        with _dropped_in_outages(module, "catch-up request dropped"):
            replay.receive(module, body, sender=_sender_of(task))

    @app.task(name=REPORT, bind=True, shared=False)
    def report(task: Any, body: bytes) -> None:
        module = topology.module_of_queue(task.request.x_queue)
        with _dropped_in_outages(module, "report dropped"):
            idle.renew(module)
            subscribers.receive(module, body, sender=_sender_of(task))

    return app


@cache
def app() -> Celery:
    """This process's Celery app."""
    return make_app(settings.PANGAEA)


@contextmanager
def _dropped_in_outages(module: str, event: str) -> Iterator[None]:
    """Drop a message that its sender repeats anyway, if the module's database does not take it at the moment."""
    try:
        yield
    except Error as error:
        if errors.kind_of(error, module) not in errors.PASSING:
            raise
        if not outages.note(error, module):
            log.warning(event, module=module, reason="the database is busy", error=str(error).strip())
    else:
        outages.end(module)


def _sender_of(task: Any) -> str:
    """The module that sent the message: the first word of the routing key, which `admission` has checked."""
    routing_key: str = task.request.delivery_info["routing_key"]
    return routing_key.partition(".")[0]


@setup_logging.connect(weak=False)
def _keep_logging(**_: Any) -> None:
    """Do nothing. A receiver of this signal keeps Celery from configuring logging, which Django has done."""


@worker_process_init.connect(weak=False)
def _after_fork(**_: Any) -> None:
    """Close database connections, which must not be shared with the parent process."""
    connections.close_all()
