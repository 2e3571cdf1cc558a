"""Checks each message from the broker before kombu or Celery reads it, and decides whether it is accepted.

A client that may write to the broker chooses every byte of a message. RabbitMQ checks the first word of the routing
key, except for a message that a queue dead-letters and, before version 4, for one with the header `CC`. The
property `user_id` is always the login of the connection that published the message
(https://www.rabbitmq.com/docs/validated-user-id). So the login decides which modules a message may come from.

Celery reads a dozen headers without checking them. An accepted message keeps only the headers that are checked here.
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
MAX_BODY_BYTES = {DELIVER: 16 * MEBIBYTE, CATCH_UP: MEBIBYTE // 16, REPORT: MEBIBYTE // 16}
"""The longest body of a message, by task."""
LOG_INTERVAL = 10.0
"""Seconds between two log lines per queue and reason: refused messages may arrive in thousands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RawMessage:
    """A message as the broker delivers it, unchecked."""

    content_type: Any
    content_encoding: Any
    headers: Any
    length: int
    routing_key: str
    login: str | None
    """The sender's login; None if the broker does not name it."""


SECOND_LOGIN_SUFFIX = "-2"
"""The suffix of a module's second login: `orders-2` is the second of `orders`. No module's name can end with it."""


def first_login(login: str) -> str:
    """The first of a module's two logins, for either of them."""
    return login.removesuffix(SECOND_LOGIN_SUFFIX)


class Senders:
    """Which modules a RabbitMQ login may send for. A second login may send for the same modules as the first."""

    def __init__(self, own: str, prefix: str, declared: Iterable[str]) -> None:
        """`own`: this process's login. `prefix`: of every module's login. `declared`: pairs written `login=module`."""
        self._own = first_login(own)
        self._prefix = prefix
        pairs = (each.rpartition("=") for each in declared)
        self._declared = frozenset((first_login(login), module) for login, _, module in pairs)

    def may_send(self, login: str, module: str) -> bool:
        """Whether a message of this login may come from this module.

        A module's own login may send for the module, and a declared login for the modules declared with it. This
        process's login may send for every module: a client that has it can write into this process's queues anyway.
        """
        first = first_login(login)
        return first in {self._own, f"{self._prefix}{module}"} or (first, module) in self._declared


def admit(message: RawMessage, queue: str, senders: Senders | None) -> dict[str, Any]:
    """The checked headers of an acceptable message. Raises RefusedMessage, whose text quotes nothing of the message.

    `senders` is None for a broker that does not name the sender's login.
    """
    headers = message.headers if isinstance(message.headers, Mapping) else {}
    task = headers.get("task")
    if not isinstance(task, str) or task not in MAX_BODY_BYTES:
        raise RefusedMessage("its task is unknown")
    if (message.content_type, message.content_encoding) != (CONTENT_TYPE, CONTENT_ENCODING) or "compression" in headers:
        raise RefusedMessage("its body has another content type, encoding or compression")
    if not 0 < message.length <= MAX_BODY_BYTES[task]:
        raise RefusedMessage("its body is empty or too long")
    if "x-death" in headers:
        raise RefusedMessage("it was dead-lettered by another queue")
    if senders is not None:
        if message.login is None:
            raise RefusedMessage("it does not name the login of its sender")
        if not senders.may_send(message.login, message.routing_key.partition(".")[0]):
            raise RefusedMessage("its sender may not send for the module that it names")
    return {"task": task, "id": _identifier(headers), "x_queue": queue, "argsrepr": "", "kwargsrepr": ""}


def _identifier(headers: Mapping[str, Any]) -> str:
    value = headers.get("id")
    try:
        return str(UUID(value if isinstance(value, str) else ""))
    except ValueError as error:
        raise RefusedMessage("its id is no UUID") from error


class RefusedMessages:
    """Counts refused messages, and logs them at most once per LOG_INTERVAL for each queue and reason."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()
        """The number of refused messages by queue and reason."""
        self._logged_at: dict[tuple[str, str], float] = {}

    def record(self, queue: str, reason: str, *, login: str | None, routing_key: str) -> None:
        """Count one message, and log it if none with its queue and reason was logged within LOG_INTERVAL."""
        kind = queue, reason
        self.counts[kind] += 1
        now = monotonic()
        if now - self._logged_at.get(kind, -LOG_INTERVAL) < LOG_INTERVAL:
            return
        self._logged_at[kind] = now
        log.error(
            "broker message refused",
            queue=queue,
            reason=reason,
            login=login,
            routing_key=routing_key,
            count=self.counts[kind],
        )
