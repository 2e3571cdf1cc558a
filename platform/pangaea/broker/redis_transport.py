"""kombu's Redis transport, with every entry checked before kombu parses it.

On Redis a message is JSON in a list that any client may write to, and kombu trusts its form. An entry of another form
is dropped here. Of all other entries, kombu gets only the checked members. Then `admission` checks the message, as on
RabbitMQ.

Entries that were taken and not acknowledged are in a hash, which all applications on the same database share. Such an
entry is restored unchanged, or dropped if kombu could not restore it.
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

MAX_ROUTING_KEY_BYTES = 255
"""The limit of AMQP 0-9-1."""
MAX_ENTRY_BYTES = max(admission.MAX_BODY_BYTES.values()) * 4 // 3 + admission.MEBIBYTE // 16
"""The longest body in base64, plus the rest of its entry."""


class _Headers(msgspec.Struct):
    """The headers that `admission` checks. It refuses a message that has `compression` or `x-death`."""

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
    """The members that are read here, of an entry as kombu writes it into a list."""

    body: bytes
    headers: _Headers
    properties: _Properties
    content_type: str | None = msgspec.field(name="content-type")
    content_encoding: str | None = msgspec.field(name="content-encoding")


class _UnackedProperties(msgspec.Struct):
    delivery_info: dict[str, msgspec.Raw] | UnsetType = UNSET


class _Unacked(msgspec.Struct):
    """The members of an entry that kombu changes when it restores it."""

    headers: dict[str, msgspec.Raw]
    properties: _UnackedProperties


_entries = msgspec.json.Decoder(_Entry)
_unacked = msgspec.json.Decoder(tuple[_Unacked, str, str])


def read_entry(raw: bytes, exchange: str, delivery_tag: str) -> dict[str, Any]:
    """A message as kombu expects it, from an entry of a queue's list. Raises RefusedMessage, whose text quotes nothing.

    The entry's delivery tag is replaced: kombu would treat two entries with the same tag as one.
    """
    if len(raw) > MAX_ENTRY_BYTES:
        raise RefusedMessage("it is too long")
    try:
        entry = _entries.decode(raw)
    except (ValueError, RecursionError) as error:
        raise RefusedMessage("it does not have the form of a message") from error
    delivery, headers = entry.properties.delivery_info, entry.headers
    refused = {"compression": headers.compression, "x-death": headers.x_death}
    if delivery.exchange != exchange or len(delivery.routing_key.encode()) > MAX_ROUTING_KEY_BYTES:
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


def read_unacked(raw: bytes) -> tuple[dict[str, Any], str, str]:
    """An unacknowledged entry, its exchange and its routing key, unchanged. It may belong to another application.

    Raises RefusedMessage for an entry that cannot be restored.
    """
    try:
        _, exchange, routing_key = _unacked.decode(raw)
        payload = json.loads(raw)[0]
    except (ValueError, RecursionError) as error:
        raise RefusedMessage("it was taken, and cannot be restored") from error
    if not routing_key:
        raise RefusedMessage("it was taken, and cannot be restored")
    return payload, exchange, routing_key


class QoS(redis.QoS):
    """The messages that were taken and not acknowledged."""

    def restore_by_tag(self, tag: Any, client: Any = None, leftmost: bool = False) -> None:  # noqa: FBT001, FBT002
        """Put a message back into its queues; drop one that cannot be restored."""
        if not self.channel.exchange:
            super().restore_by_tag(tag, client, leftmost)
            return

        def restore(pipe: Any) -> None:
            raw = pipe.hget(self.unacked_key, tag)
            pipe.multi()
            self._remove_from_indices(tag, pipe)
            if raw is None:
                return
            try:
                payload, exchange, routing_key = read_unacked(raw)
            except RefusedMessage as error:
                self.channel.refused_messages.record(self.unacked_key, str(error), login=None, routing_key="")
                return
            self.channel._do_restore_message(payload, exchange, routing_key, pipe, leftmost)  # noqa: SLF001 - kombu's own way

        with self.channel.conn_or_acquire(client) as one:
            try:
                one.transaction(restore, self.unacked_key)
            except ResponseError:
                # Redis has executed the rest of the transaction: the entry is deleted.
                reason = "its routing key names no list"
                self.channel.refused_messages.record(self.unacked_key, reason, login=None, routing_key="")


class Channel(redis.Channel):
    """Consumes entries that have the form of a message. Its options: `refused_messages`, and the `exchange`'s name.

    Without these options it is kombu's own: kombu chooses transports by scheme, also for other applications in the
    same process.
    """

    QoS = QoS
    from_transport_options: Any = (*redis.Channel.from_transport_options, "refused_messages", "exchange")
    refused_messages: admission.RefusedMessages
    exchange = ""

    def _brpop_read(self, **options: Any) -> bool:
        """Deliver the entry that has arrived. Raises Empty if there is none."""
        if not self.exchange:
            return bool(super()._brpop_read(**options))
        try:
            try:
                reply = self.client.parse_response(self.client.connection, "BRPOP", **options)
            except self.connection_errors:
                # The next round then reconnects.
                self.client.connection.disconnect()
                raise
            if not reply:
                raise Empty
            queue = bytes_to_str(reply[0]).rsplit(self.sep, 1)[0]
            self._queue_cycle.rotate(queue)
            try:
                message = read_entry(reply[1], self.exchange, self._next_delivery_tag())
            except RefusedMessage as error:
                self.refused_messages.record(queue, str(error), login=None, routing_key="")
            else:
                self.connection._deliver(message, queue)  # noqa: SLF001 - kombu's own way
            return True
        finally:
            self._in_poll = None  # type: ignore[assignment] # kombu keeps a connection here, or nothing
            self._flush_brpop_reauth()


class Transport(redis.Transport):
    """Redis, with or without TLS."""

    Channel = Channel


TRANSPORTS = dict.fromkeys(("redis", "rediss"), f"{__name__}:Transport")
"""The transports for kombu, by scheme."""
