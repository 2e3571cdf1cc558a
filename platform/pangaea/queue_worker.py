"""Celery's worker, as far as it has to be another one here."""

import os
from contextlib import suppress
from typing import Any

import structlog
from celery.app.amqp import AMQP
from celery.worker import state
from celery.worker.consumer import Consumer as CeleryConsumer
from celery.worker.state import maybe_shutdown
from django.conf import settings
from kombu import Consumer, Queue

from pangaea import bus
from pangaea.heartbeat import Pulse, State

log = structlog.get_logger()

LONGEST_PAUSE = 5.0
"""Seconds between two attempts to connect; kombu would let it grow to 30."""


class QueueNamingConsumer(Consumer):
    """Writes the queue's name into each message's headers: AMQP does not tell it, and a batch reaches several."""

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
                headers = message["headers"] if isinstance(message, dict) else message.headers
                headers["x_queue"] = name
                self._receive_callback(message)

            queue.consume(tag, receive, no_ack=no_ack, nowait=nowait)
        return str(tag)


class BusAMQP(AMQP):
    """Celery's AMQP parts with that consumer."""

    Consumer = QueueNamingConsumer


def end_worker() -> None:
    """Let Celery end this worker at its next look."""
    state.should_stop = os.EX_OK


class BusConsumer(CeleryConsumer):
    """Celery's consumer without delayed delivery, which would declare some 28 queues that nothing here uses.

    It looks four times a second whether it was told to leave (`app.leaving`): then it takes no more, and ends once what
    it took is done and acknowledged. Celery's own warm shutdown forgets what its pool has just been given: that is
    committed and not acknowledged, and the pool waits half a minute for somebody to hear of it. A connection that is
    lost, or a queue that is deleted under it, makes it connect and declare anew, and it says so once. `app.pulse` beats
    with its loop.
    """

    connection: Any
    task_consumer: Any
    _heard = -1
    _idle_looks = -1

    class Blueprint(CeleryConsumer.Blueprint):
        """The steps of start-up."""

        default_steps = [step for step in CeleryConsumer.Blueprint.default_steps if "delayed_delivery" not in step]

    @property
    def pulse(self) -> Pulse:
        pulse: Pulse = self.app.pulse
        return pulse

    def register_with_event_loop(self, hub: Any) -> None:
        super().register_with_event_loop(hub)
        self._idle_looks = -1
        hub.call_repeatedly(0.25, self._consuming)
        if self.app.conf.broker_url.startswith("amqp"):
            hub.call_repeatedly(settings.PANGAEA.announce_at_most.total_seconds(), self._listen)

    def _consuming(self) -> None:
        if (seconds := self.pulse.beat(State.CONSUMING)) is not None:
            log.info("worker consumes", after_seconds=round(seconds, 1))
        if self.app.leaving.is_set():
            self._leave()

    def _leave(self) -> None:
        if self._idle_looks < 0:
            self.task_consumer.cancel()
        at_work = state.reserved_requests or self.pool._pool._cache  # noqa: SLF001 - it has no other way to ask
        self._idle_looks = 0 if at_work else self._idle_looks + 1
        # The first look sees that the last one is done, its acknowledgement may be on its way; so the next one counts.
        if self._idle_looks > 1:
            end_worker()

    def _listen(self) -> None:
        """Raise, which connects anew, when messages wait and this idle worker has heard none since it last looked.

        RabbitMQ may keep a consumer that it tells nothing: of a quorum queue that was deleted and declared anew at once
        no cancellation arrives, and what is delivered gets stuck in the server. A standby cannot tell that from its
        lot; to connect anew costs it nothing.
        """
        heard, before = state.total_count.total(), self._heard
        self._heard = heard
        if self.app.leaving.is_set() or state.reserved_requests or heard != before:
            return
        channel = self.task_consumer.channel
        try:
            waiting = [
                queue.name
                for queue in self.task_consumer.queues
                if channel.queue_declare(queue.name, passive=True).message_count
            ]
        except self.connection.channel_errors as error:
            raise ConnectionResetError(str(error)) from error
        if waiting:
            raise ConnectionResetError(f"messages wait in {', '.join(waiting)}, and none arrives")

    def _interrupted(self, error: BaseException) -> None:
        if self.app.leaving.is_set():
            # What it took, the broker gives to another.
            end_worker()
        if self.pulse.beat(State.INTERRUPTED, str(error)) is not None:
            log.warning("worker interrupted", error=str(error) or type(error).__name__)

    def on_connection_error_after_connected(self, exc: BaseException) -> None:
        self._interrupted(exc)
        connection, self.connection = self.connection, None
        bus.cut(connection)
        with suppress(Exception):  # what was not cut
            connection.close()

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
