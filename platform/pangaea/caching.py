"""The shared cache: Redis at CACHE_URL, or without it a cache inside each process. And its outages.

Nothing is stored in the cache alone: it may be emptied, or not answer, at any time. `asked` is the way to use it where
a caller waits: while the cache is lost it fails at once, and one request per RETRY_INTERVAL finds out whether the cache
is back. Without that, each request of an outage would wait for a connection that does not answer.
"""

import threading
from collections.abc import Callable
from time import monotonic
from typing import Any, TypeVar

import structlog
from django_redis.exceptions import ConnectionInterrupted
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import RedisError
from redis.retry import Retry

from pangaea.addresses import cache
from pangaea.configuration.declared import Declared
from pangaea.errors import Unavailable, first_line

log = structlog.get_logger()
T = TypeVar("T")

TIMEOUT = 1.0
"""Seconds that a request waits for Redis to accept a connection, and as many again for each answer."""
MAX_LOCAL_ENTRIES = 100_000
"""Entries of the cache inside a process; then a third of them is dropped, and what they counted with them."""
RETRY_INTERVAL = 2.0
"""Seconds between two attempts to reach a lost cache: how late its return may be noticed."""
FAILURES = (RedisError, ConnectionInterrupted, OSError)
"""What a cache that does not serve raises: no connection, no answer, no rights, no memory, a replica."""


class CacheUnavailable(Unavailable):
    """The shared cache does not answer. Its outage is logged once, not with each request."""


def configure(declared: Declared) -> dict[str, Any]:
    """Django's CACHES."""
    prefix = f"{declared.cache_prefix}pangaea"
    if not declared.cache_url:
        return {
            "default": {
                "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
                "KEY_PREFIX": prefix,
                "OPTIONS": {"MAX_ENTRIES": MAX_LOCAL_ENTRIES},
            }
        }
    address = cache.parse(declared.cache_url)
    connections: dict[str, Any] = {
        # Once and at once: an idle connection may have been closed, by a restart of Redis or by a firewall. A timeout
        # is not retried.
        "retry": Retry(NoBackoff(), 1, supported_errors=(ConnectionLost,)),
    }
    if address.has_tls:
        connections |= {
            "ssl_cert_reqs": "required",
            "ssl_check_hostname": True,
            "ssl_ca_certs": declared.cache_ca or None,
        }
    return {
        "default": {
            "BACKEND": "django_redis.cache.RedisCache",
            "LOCATION": address.for_kombu(),
            "KEY_PREFIX": prefix,
            "OPTIONS": {
                "SOCKET_CONNECT_TIMEOUT": TIMEOUT,
                "SOCKET_TIMEOUT": TIMEOUT,
                "CONNECTION_POOL_KWARGS": connections,
                # The default unpickles, so who can write to Redis could execute code here.
                "SERIALIZER": "django_redis.serializers.json.JSONSerializer",
            },
        }
    }


class _Circuit:
    """Whether the cache answers, as this process has seen it."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._lost_at: float | None = None
        self._next_attempt = 0.0

    def admit(self) -> bool:
        """Return if the cache may be asked: while it is lost, once per RETRY_INTERVAL. Raises CacheUnavailable.

        True for an attempt to reach a lost cache: its answer ends the outage. An answer to a question from before the
        outage does not.
        """
        if self._lost_at is None:
            return False
        with self._guard:
            if monotonic() < self._next_attempt:
                raise CacheUnavailable("The cache is lost.")
            self._next_attempt = monotonic() + RETRY_INTERVAL
        return True

    def fail(self, error: Exception) -> None:
        """Record a failure. The first of an outage is logged."""
        with self._guard:
            self._next_attempt = monotonic() + RETRY_INTERVAL
            if self._lost_at is not None:
                return
            self._lost_at = monotonic()
        log.warning("cache lost", error=f"{type(error).__name__}: {first_line(error)}")

    def recover(self) -> None:
        """End the outage, if there is one, and log that."""
        with self._guard:
            lost_at, self._lost_at, self._next_attempt = self._lost_at, None, 0.0
        if lost_at is not None:
            log.info("cache recovered", after_seconds=round(monotonic() - lost_at, 1))


_circuit = _Circuit()


def asked(question: Callable[[], T]) -> T:
    """The result of `question`, which uses the cache. Raises CacheUnavailable where the cache does not answer."""
    is_attempt = _circuit.admit()
    try:
        answer = question()
    except FAILURES as error:
        _circuit.fail(error)
        raise CacheUnavailable(f"The cache does not answer: {first_line(error)}") from error
    if is_attempt:
        _circuit.recover()
    return answer


def forget_outage() -> None:
    """Ask the cache again at once, as if it had answered."""
    _circuit.recover()
