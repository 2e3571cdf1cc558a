"""Which messages of the broker are let in: each is judged before kombu or Celery looks at it.

Who may write to a broker chooses every byte of a message. On RabbitMQ the first word of the routing key is checked, but
not that of a message which a queue dead-letters, nor, before version 4, of one with the header `CC`. The property
`user_id` is the login of the connection that published it, by whatever way it came
(https://www.rabbitmq.com/docs/validated-user-id): so the login says which modules a message may be of.

Celery reads a dozen headers without checking them. An admitted message has those alone that were checked.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Any
from uuid import UUID

import structlog

from pangaea.errors import RefusedMessage

log = structlog.get_logger()

CONTENT_TYPE, CONTENT_ENCODING = "application/vnd.pangaea+json", "binary"
DELIVER = "pangaea.deliver"
CATCH_UP = "pangaea.catch_up"
REPORT = "pangaea.report"
MEBIBYTE = 1024 * 1024
LONGEST = {DELIVER: 16 * MEBIBYTE, CATCH_UP: MEBIBYTE // 16, REPORT: MEBIBYTE // 16}
"""The tasks there are, and the bytes that the body of a message for each may have."""
LOG_INTERVAL = 10.0
"""Seconds between two log lines of one queue and reason: a sender of such messages may send many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A message as the broker delivers it, nothing of it checked."""

    content_type: Any
    content_encoding: Any
    headers: Any
    length: int
    routing_key: str
    login: str | None
    """Who has sent it; None where the broker does not say."""


SECOND = "-2"
"""What the second of two logins in turn ends with: `orders-2` is `orders`. No module's name can end so."""


def first_of(login: str) -> str:
    """The first of the two logins in turn of which this is one."""
    return login.removesuffix(SECOND)


class Senders:
    """Which modules a RabbitMQ login speaks for. Its second login in turn speaks for the same."""

    def __init__(self, own: str, prefix: str, declared: Iterable[str]) -> None:
        """`own` is this process's login, `prefix` stands before a module's own, `declared` has `login=module`."""
        self._own = first_of(own)
        self._prefix = prefix
        pairs = (each.rpartition("=") for each in declared)
        self._declared = frozenset((first_of(login), module) for login, _, module in pairs)

    def may_send(self, login: str, module: str) -> bool:
        """Whether a message of that login may be of that module.

        A module's own login speaks for it, a declared one for what is declared. This process's own speaks for every
        module: who has it can write into this process's queues anyway.
        """
        first = first_of(login)
        return first in {self._own, f"{self._prefix}{module}"} or (first, module) in self._declared


def admit(arrival: Arrival, queue: str, senders: Senders | None) -> dict[str, Any]:
    """The headers of a message that may be applied. Raises RefusedMessage, whose text quotes nothing of the message.

    `senders` is None for a broker without logins of its own.
    """
    headers = arrival.headers if isinstance(arrival.headers, Mapping) else {}
    task = headers.get("task")
    if not isinstance(task, str) or task not in LONGEST:
        raise RefusedMessage("its task is none of ours")
    if (arrival.content_type, arrival.content_encoding) != (CONTENT_TYPE, CONTENT_ENCODING) or "compression" in headers:
        raise RefusedMessage("its body has another content type, encoding or compression")
    if not 0 < arrival.length <= LONGEST[task]:
        raise RefusedMessage("its body is empty or too long")
    if "x-death" in headers:
        raise RefusedMessage("it was dead-lettered by another queue")
    if senders is not None:
        if arrival.login is None:
            raise RefusedMessage("it does not say which login has sent it")
        if not senders.may_send(arrival.login, arrival.routing_key.partition(".")[0]):
            raise RefusedMessage("its sender may not speak for the module that it names")
    return {"task": task, "id": _identifier(headers), "x_queue": queue, "argsrepr": "", "kwargsrepr": ""}


def _identifier(headers: Mapping[str, Any]) -> str:
    value = headers.get("id")
    try:
        return str(UUID(value if isinstance(value, str) else ""))
    except ValueError as error:
        raise RefusedMessage("its id is no UUID") from error


class Refused:
    """What was not let in: counted, and logged now and then."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()
        """How many, by queue and reason."""
        self._logged: dict[tuple[str, str], float] = {}

    def note(self, queue: str, reason: str, *, login: str | None, routing_key: str) -> None:
        """Count one."""
        kind = queue, reason
        self.counts[kind] += 1
        now = monotonic()
        if now - self._logged.get(kind, -LOG_INTERVAL) < LOG_INTERVAL:
            return
        self._logged[kind] = now
        log.error(
            "broker message refused",
            queue=queue,
            reason=reason,
            login=login,
            routing_key=routing_key,
            count=self.counts[kind],
        )
