"""What a broker answers when it does not serve: one error for the callers, and a reason to reconnect for the worker."""

from dataclasses import replace

import pytest
from amqp import exceptions as amqp
from celery import Celery
from django.conf import settings
from kombu.exceptions import OperationalError
from redis import exceptions as redis

from pangaea.broker import celery_app
from pangaea.broker.errors import as_operational

OF_REDIS = [
    redis.ReadOnlyError("READONLY"),
    redis.OutOfMemoryError("OOM"),
    redis.BusyLoadingError("LOADING"),
    redis.ClusterDownError("CLUSTERDOWN"),
    redis.MasterDownError("MASTERDOWN"),
    redis.NoPermissionError("NOPERM"),
    redis.AuthenticationError("WRONGPASS"),
    redis.ResponseError("NOAUTH"),
    redis.ConnectionError("refused"),
    redis.TimeoutError("silent"),
]
OF_RABBITMQ = [
    amqp.AccessRefused("another password"),
    amqp.NotAllowed("no such virtual host"),
    amqp.ResourceLocked("another connection's queue"),
    amqp.PreconditionFailed("another queue"),
    amqp.ConnectionForced("shutting down"),
    ConnectionResetError("away"),
]
CASES = [("redis://127.0.0.1:1/0", each) for each in OF_REDIS] + [
    ("amqp://127.0.0.1:1//", each) for each in OF_RABBITMQ
]


@pytest.fixture
def app(url: str) -> Celery:
    return celery_app.make_app(replace(settings.PANGAEA, broker_url=url))


@pytest.mark.parametrize(("url", "error"), CASES, ids=lambda value: type(value).__name__)
class TestAnErrorOfABroker:
    def test_is_operational_for_callers(self, app: Celery, error: Exception) -> None:
        with pytest.raises(OperationalError, match=r"\w"), as_operational(app):
            raise error

    def test_is_a_reason_to_reconnect_for_a_worker(self, app: Celery, error: Exception) -> None:
        connection = app.connection_for_read()
        assert isinstance(error, (*connection.connection_errors, *connection.channel_errors))
