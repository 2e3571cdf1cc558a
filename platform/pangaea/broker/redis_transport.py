"""kombu's Redis transport, with every entry judged before kombu parses it.

On Redis a message is JSON in a list that any client may write to, and kombu takes its form for granted. What has
another form is dropped here; of the rest kombu gets nothing that was not checked. Then `admission` judges it, like a
message of RabbitMQ.

What was taken and not acknowledged is kept in a hash that all applications on the same database share: an entry there
is restored as it is, or dropped when kombu could not restore it.
"""

import json
from base64 import b64encode
from queue import Empty
from typing import Any, Literal

import msgspec
from kombu.transport import redis
from kombu.utils.encoding import bytes_to_str
from msgspec import UNSET, UnsetType
from redis.exceptions import ResponseError

from pangaea.broker import admission
from pangaea.errors import RefusedMessage

LONGEST_KEY = 255
"""Bytes of a routing key, as in AMQP 0-9-1."""
LONGEST_ENTRY = max(admission.LONGEST.values()) * 4 // 3 + admission.MEBIBYTE // 16
"""Bytes: the longest body in base64, and what is around it."""


class _Headers(msgspec.Struct):
    """Those that `admission` looks at; it refuses the last two, whatever they hold."""

    task: str
    id: str
    compression: msgspec.Raw | UnsetType = UNSET
    x_death: msgspec.Raw | UnsetType = msgspec.field(name="x-death", default=UNSET)


class _DeliveryInfo(msgspec.Struct):
    exchange: str
    routing_key: str


class _Properties(msgspec.Struct):
    delivery_info: _DeliveryInfo
    body_encoding: Literal["base64"]


class _Entry(msgspec.Struct):
    """A list's entry as kombu writes it, as far as it is read here."""

    body: bytes
    headers: _Headers
    properties: _Properties
    content_type: str | None = msgspec.field(name="content-type")
    content_encoding: str | None = msgspec.field(name="content-encoding")


class _KeptProperties(msgspec.Struct):
    delivery_info: dict[str, msgspec.Raw] | UnsetType = UNSET


class _Kept(msgspec.Struct):
    """An entry as far as kombu changes it when it restores it."""

    headers: dict[str, msgspec.Raw]
    properties: _KeptProperties


_entries = msgspec.json.Decoder(_Entry)
_kept = msgspec.json.Decoder(tuple[_Kept, str, str])


def read(raw: bytes, exchange: str, delivery_tag: str) -> dict[str, Any]:
    """A message as kombu takes it from an entry of a queue's list. Raises RefusedMessage, which quotes nothing of it.

    Its tag is another: two entries with the same one would be one to kombu.
    """
    if len(raw) > LONGEST_ENTRY:
        raise RefusedMessage("it is too long")
    try:
        entry = _entries.decode(raw)
    except (ValueError, RecursionError) as error:
        raise RefusedMessage("it has not the form of a message") from error
    delivery, headers = entry.properties.delivery_info, entry.headers
    refused = {"compression": headers.compression, "x-death": headers.x_death}
    if delivery.exchange != exchange or len(delivery.routing_key.encode()) > LONGEST_KEY:
        raise RefusedMessage("it names another exchange, or its routing key is too long")
    return {
        "body": b64encode(entry.body).decode(),
        "content-type": entry.content_type,
        "content-encoding": entry.content_encoding,
        "headers": {
            "task": headers.task,
            "id": headers.id,
            **{name: "" for name, value in refused.items() if value is not UNSET},
        },
        "properties": {
            "delivery_info": {"exchange": exchange, "routing_key": delivery.routing_key},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": delivery_tag,
        },
    }


def read_kept(raw: bytes) -> tuple[dict[str, Any], str, str]:
    """An entry that was taken, its exchange and routing key, unchanged. Raises RefusedMessage: it cannot be restored.

    It may be of an application that is not this one.
    """
    try:
        _, exchange, routing_key = _kept.decode(raw)
        payload = json.loads(raw)[0]
    except (ValueError, RecursionError) as error:
        raise RefusedMessage("it was taken, and cannot be restored") from error
    if not routing_key:
        raise RefusedMessage("it was taken, and cannot be restored")
    return payload, exchange, routing_key


class QoS(redis.QoS):
    """What was taken and not acknowledged."""

    def restore_by_tag(self, tag: Any, client: Any = None, leftmost: bool = False) -> None:  # noqa: FBT001, FBT002
        """Put a message back into its queues; drop what cannot be put back."""

        def restore(pipe: Any) -> None:
            raw = pipe.hget(self.unacked_key, tag)
            pipe.multi()
            self._remove_from_indices(tag, pipe)
            if raw is None:
                return
            try:
                payload, exchange, routing_key = read_kept(raw)
            except RefusedMessage as error:
                self.channel.refused.note(self.unacked_key, str(error), login=None, routing_key="")
                return
            self.channel._do_restore_message(payload, exchange, routing_key, pipe, leftmost)  # noqa: SLF001 - kombu's own way

        with self.channel.conn_or_acquire(client) as one:
            try:
                one.transaction(restore, self.unacked_key)
            except ResponseError:
                # Redis does the rest of a transaction: it is not kept any more.
                self.channel.refused.note(self.unacked_key, "its routing key names no list", login=None, routing_key="")


class Channel(redis.Channel):
    """Consumes entries that have the form of a message; its option `refused` notes others, `exchange` names ours."""

    QoS = QoS
    from_transport_options: Any = (*redis.Channel.from_transport_options, "refused", "exchange")
    refused: admission.Refused
    exchange: str

    def _brpop_read(self, **options: Any) -> bool:
        """Deliver what has arrived. Raises Empty when that is nothing."""
        try:
            try:
                arrived = self.client.parse_response(self.client.connection, "BRPOP", **options)
            except self.connection_errors:
                # So that the next round connects again.
                self.client.connection.disconnect()
                raise
            if not arrived:
                raise Empty
            queue = bytes_to_str(arrived[0]).rsplit(self.sep, 1)[0]
            self._queue_cycle.rotate(queue)
            try:
                message = read(arrived[1], self.exchange, self._next_delivery_tag())
            except RefusedMessage as error:
                self.refused.note(queue, str(error), login=None, routing_key="")
            else:
                self.connection._deliver(message, queue)  # noqa: SLF001 - kombu's own way
            return True
        finally:
            self._in_poll = None  # type: ignore[assignment] # kombu keeps a connection here, or nothing
            self._flush_brpop_reauth()


class Transport(redis.Transport):
    """For Celery's setting `broker_transport`."""

    Channel = Channel
