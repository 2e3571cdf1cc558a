"""Celery's consumer, extended by checks of messages and queues, bounded waits, reconnection and shutdown."""

import math
import os
import signal
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property, partial
from time import monotonic
from typing import Any

import amqp
import structlog
from celery.app.amqp import AMQP
from celery.worker import state
from celery.worker.consumer import Consumer as CeleryConsumer
from celery.worker.state import maybe_shutdown
from django.conf import settings
from kombu import Consumer, Queue

from pangaea.backoff import Backoff
from pangaea.broker import admission, sending, topology
from pangaea.errors import RefusedMessage
from pangaea.inbox import in_flight
from pangaea.telemetry.components import Component, State

log = structlog.get_logger()

RECONNECT = Backoff(first=0.2, longest=5.0)
"""The pauses between two attempts to connect. kombu's own pauses would grow to 30 s."""
CONSUME_TIMEOUT = 5.0
"""Seconds within which a queue must answer a new consumer."""
SILENT_CHECKS = 2
"""Checks in a row without a message after which a worker reconnects, unless its queue has other consumers."""
CHECK_INTERVAL = 0.25
"""Seconds between two checks of the pool's jobs, of failed acknowledgements, and of a requested shutdown."""


class QueueNamingConsumer(Consumer):
    """Admits or rejects each message, and adds its queue's name to the headers, since AMQP does not deliver the name.

    It declares its queues by the rules of `topology`, and notes their differences in `topology.QueueDifferences`.
    """

    def __init__(self, *arguments: Any, app: Any, **options: Any) -> None:
        self._app = app
        self.received: Counter[str] = Counter()
        """The number of messages received, by queue."""
        super().__init__(*arguments, **options)

    def declare(self) -> None:
        """Declare the queues, their bindings and the exchange."""
        topology.declare_on(self._app, self.channel, self.queues or [])

    def _basic_consume(
        self,
        queue: Queue,
        consumer_tag: str | None = None,
        no_ack: Any = None,
        nowait: bool = True,  # noqa: FBT001, FBT002 - kombu's signature
    ) -> str:
        tag = self._active_tags.get(queue.name)
        if tag is None:
            tag = self._add_tag(queue, consumer_tag)
            self._active_queue_no_ack[queue.name] = bool(no_ack)

            def receive(message: Any, name: str = queue.name) -> None:
                self.received[name] += 1
                if not self._is_admitted(message, name):
                    message.channel.basic_reject(message.delivery_tag, requeue=False)
                    return
                self._app.queue_differences.note_received(name, message.delivery_info["routing_key"])
                self._receive_callback(message)

            with self._bounded_wait(queue):
                queue.consume(tag, receive, no_ack=no_ack, nowait=False)
        return str(tag)

    def _is_admitted(self, message: Any, queue: str) -> bool:
        """Whether the message may be applied. If so, its headers become the checked ones and the queue's name."""
        on_rabbitmq = isinstance(message, amqp.Message)
        properties = message.properties
        raw = admission.RawMessage(
            content_type=properties.get("content_type") if on_rabbitmq else message.content_type,
            content_encoding=properties.get("content_encoding") if on_rabbitmq else message.content_encoding,
            headers=message.headers,
            length=len(message.body or b""),
            routing_key=message.delivery_info["routing_key"],
            login=properties.get("user_id") if on_rabbitmq else None,
        )
        try:
            headers = admission.admit(raw, queue, self._senders if on_rabbitmq else None)
        except RefusedMessage as error:
            self._app.refused_messages.record(queue, str(error), login=raw.login, routing_key=raw.routing_key)
            return False
        if on_rabbitmq:
            message.properties = {
                "content_type": admission.CONTENT_TYPE,
                "content_encoding": admission.CONTENT_ENCODING,
                "application_headers": headers,
            }
        else:
            message.headers = headers
        return True

    @cached_property
    def _senders(self) -> admission.Senders:
        channel: Any = self.channel
        return admission.Senders(
            own=sending.login_of(channel.connection.client),
            prefix=settings.PANGAEA.broker_prefix,
            declared=settings.PANGAEA.broker_logins,
        )

    @contextmanager
    def _bounded_wait(self, queue: Queue) -> Iterator[None]:
        """Bound the wait for RabbitMQ's answer: a quorum queue that was lost in a crash of its node never answers."""
        connection = queue.channel.connection
        if not isinstance(connection, amqp.Connection):
            yield
            return
        expired = threading.Event()

        def give_up() -> None:
            expired.set()
            with suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)

        # The socket's timeout restarts with each of the server's heartbeats.
        timer = threading.Timer(CONSUME_TIMEOUT, give_up)
        timer.daemon = True
        timer.start()
        try:
            yield
        except self._app.connection_for_read().connection_errors as error:
            if not expired.is_set():
                raise
            self._app.queue_differences.note_unanswered(queue.name)
            raise ConnectionResetError(f"the queue {queue.name} does not answer") from error
        finally:
            timer.cancel()


class BusAMQP(AMQP):
    """Celery's AMQP parts, with `QueueNamingConsumer`."""

    def Consumer(self, *arguments: Any, **options: Any) -> QueueNamingConsumer:  # noqa: N802 - Celery's name
        """A consumer of this app's queues."""
        return QueueNamingConsumer(*arguments, app=self.app, **options)


def end_worker() -> None:
    """Make Celery end this worker at its next check."""
    state.should_stop = os.EX_OK


def is_stopping() -> bool:
    """Whether Celery is ending this worker: after SIGTERM, SIGINT or `end_worker`."""
    return state.should_stop is not None


def _checks_of_a_standby() -> int:
    """The number of checks that a standby waits: as long as the loss of a stream's last messages may go unnoticed."""
    return max(SILENT_CHECKS, math.ceil(settings.PANGAEA.announce_at_most / settings.PANGAEA.queue_check))


class BusConsumer(CeleryConsumer):
    """Celery's consumer without delayed delivery, which would declare some 28 queues that nothing here uses.

    It checks at CHECK_INTERVAL whether `app.stopping` is set. Then it takes no more messages, and ends once the
    messages that it took are done and acknowledged. Celery's own warm shutdown would drop the job that was just given
    to the pool: the job is committed but not acknowledged, and the pool waits half a minute for a result that does not
    come.

    After a lost connection, or when a queue is deleted that it consumes, it reconnects and declares the queues again,
    with one log line. `app.component` reports with each check.
    """

    connection: Any
    task_consumer: Any
    _received: Counter[str] = Counter()
    _silent_checks: Counter[str] = Counter()
    _failures = 0
    _idle_checks = -1
    _blocked_checks = 0
    _unacknowledged: BaseException | None = None
    _ended_job: Any = None

    class Blueprint(CeleryConsumer.Blueprint):
        """The steps of start-up."""

        default_steps = [step for step in CeleryConsumer.Blueprint.default_steps if "delayed_delivery" not in step]

    @property
    def component(self) -> Component:
        component: Component = self.app.component
        return component

    def register_with_event_loop(self, hub: Any) -> None:
        super().register_with_event_loop(hub)
        self._received, self._silent_checks = Counter(), Counter()
        self._idle_checks, self._blocked_checks, self._unacknowledged = -1, 0, None
        hub.call_repeatedly(CHECK_INTERVAL, self._check)
        if self.app.conf.broker_url.startswith("amqp"):
            hub.call_repeatedly(settings.PANGAEA.queue_check.total_seconds(), self._check_delivery)

    def call_soon_ack(self, p: Callable[..., None], *args: Any, **options: Any) -> Any:
        """Acknowledge or reject a message in the loop, and reconnect if that fails on the connection in use.

        kombu swallows the failure, and on Redis the message then counts as unacknowledged as long as the connection
        lasts: once the prefetch is full of such messages, nothing more is delivered. A message of a former connection
        cannot be acknowledged; the broker delivers it again.
        """
        if not self.hub:
            return super().call_soon_ack(p, *args, **options)

        def settle(logger: Any, errors: tuple[type[Exception], ...], *rest: Any, **named: Any) -> None:
            try:
                p(logger, (), *rest, **named)
            except errors as error:
                message: Any = p.__self__  # type: ignore[attr-defined] # Celery passes a bound method
                if self.task_consumer and message.channel is self.task_consumer.channel:
                    # The next check raises it: raised here, it would skip the other callbacks of this pass.
                    self._unacknowledged = error

        return self.hub.call_soon(partial(settle, *args, **options))

    def _check(self) -> None:
        """Check everything that Celery has no event for. Raises ConnectionResetError to reconnect."""
        self._failures = 0
        self._report(overdue=self._end_hung_job())
        if self.app.stopping.is_set():
            self._stop_consuming()
        elif self._unacknowledged is not None:
            failure = self._unacknowledged
            raise ConnectionResetError(f"a message could not be acknowledged: {failure}") from failure
        elif self._is_blocked():
            raise ConnectionResetError("no message is in flight, and the prefetch is used up")

    def _report(self, *, overdue: bool) -> None:
        limit = settings.PANGAEA.job_time_limit.total_seconds()
        reason = f"a batch takes longer than {limit:g} s" if overdue else ""
        state = State.OVERDUE if overdue else State.CONSUMING
        if (seconds := self.component.report(state, reason)) is None:
            return
        if overdue:
            log.warning("job limit exceeded", reason=reason)
        else:
            log.info("consumer started", after_seconds=round(seconds, 1))

    def _end_hung_job(self) -> bool:
        """Kill the pool's process if it made no progress for JOB_TIME_LIMIT. Returns whether a job is older than that.

        The kill counts as a crash: the broker delivers the batch again, and the next process reads what was in flight.
        """
        now, limit, is_overdue = monotonic(), settings.PANGAEA.job_time_limit.total_seconds(), False
        for job in list(self.pool._pool._cache.values()):  # noqa: SLF001 - it has no public way to ask
            if not job.accepted() or job.ready() or now - job._time_accepted <= limit:  # noqa: SLF001 - as above
                continue
            is_overdue = True
            if now - in_flight.moved_at() > limit and job is not self._ended_job:
                self._ended_job = job
                log.error("hanging job killed", seconds=limit, in_flight=in_flight.note_ended())
                with suppress(ProcessLookupError):
                    os.kill(job._worker_pid, signal.SIGKILL)  # noqa: SLF001 - as above
        return is_overdue

    def _is_blocked(self) -> bool:
        """Whether at two checks in a row no message is in flight, although the channel counts a full prefetch.

        Only kombu's virtual transports count the prefetch in the client.
        """
        qos = getattr(self.task_consumer.channel, "qos", None)
        if state.reserved_requests or qos is None or qos.can_consume():
            self._blocked_checks = 0
        else:
            self._blocked_checks += 1
        return self._blocked_checks > 1

    def _stop_consuming(self) -> None:
        if self._idle_checks < 0:
            self.task_consumer.cancel()
        is_busy = state.reserved_requests or self.pool._pool._cache  # noqa: SLF001 - it has no public way to ask
        self._idle_checks = 0 if is_busy else self._idle_checks + 1
        # At the first idle check the last acknowledgement may not have been sent.
        if self._idle_checks > 1:
            end_worker()

    def _check_delivery(self) -> None:
        """Raise ConnectionResetError, to reconnect, if a queue with messages or without a consumer delivers nothing.

        RabbitMQ may keep a consumer to which it delivers nothing: if a quorum queue is deleted and recreated at once,
        no cancellation arrives. If a queue has several consumers, another worker may be the active one, which this
        worker cannot see. Then it waits as long as the loss of a stream's last messages may go unnoticed.
        """
        received, before = self.task_consumer.received.copy(), self._received
        self._received = received
        if self.app.stopping.is_set():
            return
        channel = self.task_consumer.channel
        try:
            queues = [channel.queue_declare(queue.name, passive=True) for queue in self.task_consumer.queues]
        except self.connection.channel_errors as error:
            raise ConnectionResetError(str(error)) from error
        in_work = {request.message.headers["x_queue"] for request in state.reserved_requests}
        for each in queues:
            name, waits = each.queue, each.message_count or not each.consumer_count
            if not waits or name in in_work or received[name] != before[name]:
                del self._silent_checks[name]
                continue
            self._silent_checks[name] += 1
            if self._silent_checks[name] >= (SILENT_CHECKS if each.consumer_count <= 1 else _checks_of_a_standby()):
                raise ConnectionResetError(f"nothing arrives from {name}, where messages wait or no consumer is known")

    def _interrupted(self, error: BaseException) -> None:
        if self.app.stopping.is_set():
            # The broker delivers this worker's unacknowledged messages to another one.
            end_worker()
        if self.component.report(State.INTERRUPTED, str(error)) is not None:
            log.warning("worker interrupted", error=str(error) or type(error).__name__)

    def on_connection_error_after_connected(self, exc: BaseException) -> None:
        self._interrupted(exc)
        connection, self.connection = self.connection, None
        sending.close_now(connection)
        with suppress(Exception):  # it is closed already
            connection.close()
        self._pause()

    def on_connection_error_before_connected(self, exc: BaseException) -> None:
        self._interrupted(exc)
        self._pause()

    def _pause(self) -> None:
        """Wait, except after the first failure: Celery retries without a pause what fails after it has connected."""
        if self._failures:
            self.app.stopping.wait(RECONNECT.steady(self._failures))
        self._failures += 1

    def ensure_connected(self, conn: Any) -> Any:
        return conn.ensure_connection(
            lambda error, _pause: self._interrupted(error),
            interval_start=0.2,
            interval_step=0.4,
            interval_max=RECONNECT.longest,
            callback=maybe_shutdown,
        )
