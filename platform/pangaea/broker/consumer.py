"""Celery's worker, as far as it has to be another one here."""

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

from pangaea.broker import admission, sending, topology
from pangaea.errors import RefusedMessage
from pangaea.inbox import in_flight
from pangaea.telemetry.components import Component, State

log = structlog.get_logger()

LONGEST_PAUSE = 5.0
"""Seconds between two attempts to connect; kombu would let it grow to 30."""
CONSUME_TIMEOUT = 5.0
"""Seconds for a queue to answer a new consumer."""
SILENT_LOOKS = 2
"""A worker connects again when it gets nothing from a queue of its own for this many looks in a row."""
LOOK_INTERVAL = 0.25
"""Seconds between two looks at the pool's jobs, at what is to be acknowledged, and whether the worker is to end."""


class QueueNamingConsumer(Consumer):
    """Judges each message. Its headers get its queue's name: AMQP does not tell it, and a batch reaches several.

    It declares its queues by the rules of `topology`, and notes there what is wrong with one of them.
    """

    def __init__(self, *arguments: Any, app: Any, **options: Any) -> None:
        self._app = app
        self.received: Counter[str] = Counter()
        """How many messages came from each queue."""
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
                self._app.queue_differences.received(name, message.delivery_info["routing_key"])
                self._receive_callback(message)

            with self._answered(queue):
                queue.consume(tag, receive, no_ack=no_ack, nowait=False)
        return str(tag)

    def _is_admitted(self, message: Any, queue: str) -> bool:
        """Whether the message may be applied; then it has checked headers alone, which name its queue."""
        on_rabbitmq = isinstance(message, amqp.Message)
        properties = message.properties
        arrival = admission.Arrival(
            content_type=properties.get("content_type") if on_rabbitmq else message.content_type,
            content_encoding=properties.get("content_encoding") if on_rabbitmq else message.content_encoding,
            headers=message.headers,
            length=len(message.body or b""),
            routing_key=message.delivery_info["routing_key"],
            login=properties.get("user_id") if on_rabbitmq else None,
        )
        try:
            headers = admission.admit(arrival, queue, self._senders if on_rabbitmq else None)
        except RefusedMessage as error:
            self._app.refused.note(queue, str(error), login=arrival.login, routing_key=arrival.routing_key)
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
    def _answered(self, queue: Queue) -> Iterator[None]:
        """Bound how long RabbitMQ may take: a quorum queue that did not survive a crash of its node never answers."""
        connection = queue.channel.connection
        if not isinstance(connection, amqp.Connection):
            yield
            return
        expired = threading.Event()

        def give_up() -> None:
            expired.set()
            with suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)

        # A time-out of the socket begins again with each of the server's heartbeats.
        timer = threading.Timer(CONSUME_TIMEOUT, give_up)
        timer.daemon = True
        timer.start()
        try:
            yield
        except self._app.connection_for_read().connection_errors as error:
            if not expired.is_set():
                raise
            self._app.queue_differences.unanswered(queue.name)
            raise ConnectionResetError(f"the queue {queue.name} does not answer") from error
        finally:
            timer.cancel()


class BusAMQP(AMQP):
    """Celery's AMQP parts with that consumer."""

    def Consumer(self, *arguments: Any, **options: Any) -> QueueNamingConsumer:  # noqa: N802 - Celery's name
        """A consumer of this app's queues."""
        return QueueNamingConsumer(*arguments, app=self.app, **options)


def end_worker() -> None:
    """Let Celery end this worker at its next look."""
    state.should_stop = os.EX_OK


def is_stopping() -> bool:
    """Whether SIGTERM or SIGINT has told Celery to end this worker."""
    return state.should_stop is not None


def _looks_of_a_standby() -> int:
    """How many looks take as long as a lost tail may go unnoticed."""
    return max(SILENT_LOOKS, math.ceil(settings.PANGAEA.announce_at_most / settings.PANGAEA.queue_check))


class BusConsumer(CeleryConsumer):
    """Celery's consumer without delayed delivery, which would declare some 28 queues that nothing here uses.

    It checks four times a second whether `app.stopping` is set: then it takes no more messages, and ends once those it
    took are done and acknowledged. Celery's own warm shutdown drops the job that its pool has just been given: that is
    committed and not acknowledged, and the pool waits half a minute for a result that does not come. After a lost
    connection, or when a queue is deleted under it, it connects and declares again, with one log line.
    `app.component` reports with each pass of its loop.
    """

    connection: Any
    task_consumer: Any
    _heard: Counter[str] = Counter()
    _silent_looks: Counter[str] = Counter()
    _failures = 0
    _idle_looks = -1
    _blocked_looks = 0
    _lost: BaseException | None = None
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
        self._heard, self._silent_looks = Counter(), Counter()
        self._idle_looks, self._blocked_looks, self._lost = -1, 0, None
        hub.call_repeatedly(LOOK_INTERVAL, self._consuming)
        if self.app.conf.broker_url.startswith("amqp"):
            hub.call_repeatedly(settings.PANGAEA.queue_check.total_seconds(), self._listen)

    def call_soon_ack(self, p: Callable[..., None], *args: Any, **options: Any) -> Any:
        """Acknowledge or reject a message in the loop. One that fails on the connection in use makes it reconnect.

        kombu swallows the failure, and on Redis the message then counts as taken for as long as the connection lasts:
        after a prefetch of them nothing more is taken. What was taken on a former connection cannot be acknowledged;
        the broker delivers it again.
        """
        if not self.hub:
            return super().call_soon_ack(p, *args, **options)

        def settle(logger: Any, errors: tuple[type[Exception], ...], *rest: Any, **named: Any) -> None:
            try:
                p(logger, (), *rest, **named)
            except errors as error:
                message: Any = p.__self__  # type: ignore[attr-defined] # a bound method, says Celery
                if self.task_consumer and message.channel is self.task_consumer.channel:
                    # Raised by the next look: whatever else the loop has to do in this pass must not be lost.
                    self._lost = error

        return self.hub.call_soon(partial(settle, *args, **options))

    def _consuming(self) -> None:
        """Look at everything that Celery has no event for. Raises ConnectionResetError to reconnect."""
        self._failures = 0
        self._report(overdue=self._end_hung_job())
        if self.app.stopping.is_set():
            self._leave()
        elif self._lost is not None:
            raise ConnectionResetError(f"a message could not be acknowledged: {self._lost}") from self._lost
        elif self._is_blocked():
            raise ConnectionResetError("no message is in work, and the prefetch is used up")

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
        """End the pool's process if it has begun no message for JOB_TIME_LIMIT; whether a job is older than that.

        A crash like any other: the broker delivers the batch again, and the next process knows what was in flight.
        """
        now, limit, is_overdue = monotonic(), settings.PANGAEA.job_time_limit.total_seconds(), False
        for job in list(self.pool._pool._cache.values()):  # noqa: SLF001 - it has no other way to ask
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
        """Whether, at two looks in a row, nothing is in work and the channel yet counts a whole prefetch as taken.

        Only kombu's virtual transports count it here.
        """
        qos = getattr(self.task_consumer.channel, "qos", None)
        if state.reserved_requests or qos is None or qos.can_consume():
            self._blocked_looks = 0
        else:
            self._blocked_looks += 1
        return self._blocked_looks > 1

    def _leave(self) -> None:
        if self._idle_looks < 0:
            self.task_consumer.cancel()
        at_work = state.reserved_requests or self.pool._pool._cache  # noqa: SLF001 - it has no other way to ask
        self._idle_looks = 0 if at_work else self._idle_looks + 1
        # The first look sees that the last one is done, its acknowledgement may be on its way; so the next one counts.
        if self._idle_looks > 1:
            end_worker()

    def _listen(self) -> None:
        """Raise, which connects again, when nothing arrives from a queue in which messages wait, or without a consumer.

        RabbitMQ may keep a consumer to which it delivers nothing: of a quorum queue that was deleted and declared again
        at once no cancellation arrives. Where a queue has several consumers, another worker may be the active one,
        which a standby cannot see: it waits for as long as a lost tail may go unnoticed.
        """
        heard, before = self.task_consumer.received.copy(), self._heard
        self._heard = heard
        if self.app.stopping.is_set():
            return
        channel = self.task_consumer.channel
        try:
            queues = [channel.queue_declare(queue.name, passive=True) for queue in self.task_consumer.queues]
        except self.connection.channel_errors as error:
            raise ConnectionResetError(str(error)) from error
        at_work = {request.message.headers["x_queue"] for request in state.reserved_requests}
        for each in queues:
            name, waits = each.queue, each.message_count or not each.consumer_count
            if not waits or name in at_work or heard[name] != before[name]:
                del self._silent_looks[name]
                continue
            self._silent_looks[name] += 1
            if self._silent_looks[name] >= (SILENT_LOOKS if each.consumer_count <= 1 else _looks_of_a_standby()):
                raise ConnectionResetError(f"nothing arrives from {name}, where messages wait or no consumer is known")

    def _interrupted(self, error: BaseException) -> None:
        if self.app.stopping.is_set():
            # What it took, the broker gives to another.
            end_worker()
        if self.component.report(State.INTERRUPTED, str(error)) is not None:
            log.warning("worker interrupted", error=str(error) or type(error).__name__)

    def on_connection_error_after_connected(self, exc: BaseException) -> None:
        self._interrupted(exc)
        connection, self.connection = self.connection, None
        sending.close_now(connection)
        with suppress(Exception):  # what was not cut
            connection.close()
        # Where connecting works and what follows fails each time, Celery would try again without a pause.
        if self._failures:
            self.app.stopping.wait(min(0.1 * 2**self._failures, LONGEST_PAUSE))
        self._failures += 1

    def on_connection_error_before_connected(self, exc: BaseException) -> None:
        self._interrupted(exc)

    def ensure_connected(self, conn: Any) -> Any:
        return conn.ensure_connection(
            lambda error, _pause: self._interrupted(error),
            interval_start=0.2,
            interval_step=0.4,
            interval_max=LONGEST_PAUSE,
            callback=maybe_shutdown,
        )
