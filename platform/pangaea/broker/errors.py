"""The errors of both brokers as one: each transport raises its own, and kombu translates them only where it retries."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from celery import Celery
from kombu.exceptions import OperationalError


@contextmanager
def as_operational(celery: Celery) -> Iterator[None]:
    """Raise a transport's own errors as kombu's OperationalError: of the connection, of a channel, of Redis."""
    try:
        yield
    except OperationalError:
        raise
    except _errors_of(celery) as error:
        raise OperationalError(str(error) or type(error).__name__) from error


@cache
def _errors_of(celery: Celery) -> tuple[type[Exception], ...]:
    connection = celery.connection_for_write()
    return (*connection.connection_errors, *connection.channel_errors)
