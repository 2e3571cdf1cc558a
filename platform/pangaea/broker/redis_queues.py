"""The limits and the expiry of queues, which RabbitMQ has and Redis lacks.

Each process applies them to the queues of all modules when it declares its own, because a module without a running
process cannot. Between two declarations (QUEUE_CHECK) a queue may exceed QUEUE_LENGTH and QUEUE_BYTES by the batches
sent meanwhile.
"""

from collections.abc import Iterable
from functools import cache
from typing import Any

import structlog
from kombu import Queue
from redis.exceptions import ResponseError

from pangaea.configuration.declared import Declared

log = structlog.get_logger()


def tidy(channel: Any, declared: Declared, wanted: Iterable[Queue]) -> None:
    """Renew the leases of these queues' bindings, remove bindings whose lease has ended, and bound every queue."""
    name = f"{declared.broker_prefix}streams"
    _Leases(channel, name).renew(wanted, seconds=declared.queue_expiry.total_seconds())
    for queue in {queue for *_, queue in channel.get_table(name)}:
        bound(channel.client, queue, length=declared.queue_length, size=declared.queue_bytes)


class _Leases:
    """A hash beside kombu's table of bindings. It maps each binding to the time when a process last declared it."""

    def __init__(self, channel: Any, exchange: str) -> None:
        self._client = channel.client
        self._channel = channel
        self._exchange = exchange
        self._name = f"{exchange}.leases"

    def renew(self, wanted: Iterable[Queue], *, seconds: float) -> None:
        """Renew the leases of these queues' bindings; remove bindings whose lease has ended, and their queues."""
        ours = {(each.routing_key, queue.name) for queue in wanted for each in queue.bindings}
        whole, micro = self._client.time()  # one clock for all processes
        now = whole + micro / 1_000_000
        table = {self._member(row): row for row in self._channel.get_table(self._exchange)}
        renewed = {member for member, (key, _, queue) in table.items() if (key, queue) in ours}
        if renewed:
            self._client.hset(self._name, mapping=dict.fromkeys(renewed, now))
        leases = {member.decode(): float(at) for member, at in self._client.hgetall(self._name).items()}
        # A binding without a lease is being declared by another process at this moment: it gets a full lease.
        if unknown := table.keys() - leases.keys():
            self._client.hset(self._name, mapping=dict.fromkeys(unknown, now))
        ended = {member for member, at in leases.items() if now - at >= seconds} - renewed
        if ended:
            self._remove(ended, queues={table[member][2] for member in table.keys() - ended})

    def _remove(self, ended: set[str], *, queues: set[str]) -> None:
        with self._client.pipeline() as pipe:
            pipe.srem(self._channel.keyprefix_queue % self._exchange, *ended)
            pipe.srem(self._channel.keyprefix_binding_permanent % self._exchange, *ended)
            pipe.hdel(self._name, *ended)
            unread = {member.rpartition(self._channel.sep)[2] for member in ended} - queues
            for queue in unread:
                pipe.delete(queue)
            pipe.execute()
        log.warning("expired bindings removed", bindings=len(ended), queues_deleted=sorted(unread))

    def _member(self, row: tuple[str, str, str]) -> str:
        return str(self._channel.sep.join(row))


def bound(client: Any, queue: str, *, length: int, size: int) -> None:
    """Drop a queue's oldest batches until it has at most `length`, in at most `size` bytes of Redis's memory."""
    client.ltrim(queue, 0, length - 1)  # the oldest are at the right end
    while (count := client.llen(queue)) and (used := _memory_of(client, queue)) > size:
        # Estimated by the average size, and corrected by the next check. One batch stays, even if it exceeds the limit.
        if (keep := max(1, count * size // used)) >= count:
            return
        client.ltrim(queue, 0, keep - 1)


def _memory_of(client: Any, queue: str) -> int:
    try:
        return client.memory_usage(queue, samples=0) or 0
    except ResponseError as error:
        _warn_once(str(error))
        return 0


@cache
def _warn_once(error: str) -> None:
    log.warning("queue size limit skipped", reason="Redis refuses MEMORY USAGE", error=error)
