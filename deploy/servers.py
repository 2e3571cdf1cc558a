"""The servers that a deployment on this machine needs: PostgreSQL, from a wheel or given, RabbitMQ, and Redis.

Each is a context manager that names its steps. SystemExit names what is missing, and the remedy.
"""

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import psycopg

from deploy.steps import Steps
from pangaea.addresses import postgresql as addresses
from pangaea.errors import Misconfigured
from pangaea.servers import postgresql, rabbitmq, valkey
from pangaea.servers.errors import Unavailable

POSTGRES_URL_FORM = "postgres://user:password@host:5432/postgres"


@contextmanager
def database_server(steps: Steps) -> Iterator[str]:
    """An administrator's URL: POSTGRES_URL (SystemExit if it is unusable), or a server with temporary data."""
    given = os.environ.get("POSTGRES_URL")
    if not given:
        steps("starting PostgreSQL, with temporary data")
        with postgresql.server() as url:
            try:
                yield url
            finally:
                steps("ending PostgreSQL")
        return
    try:
        address = addresses.parse(given)
    except Misconfigured as error:
        sys.exit(f"POSTGRES_URL {error} It is an administrator's URL like {POSTGRES_URL_FORM}.")
    try:
        psycopg.connect(**{"connect_timeout": 10, **address.libpq()}).close()
    except psycopg.Error as error:
        sys.exit(
            f"POSTGRES_URL names no usable server: {error}\n"
            f"Set an administrator's URL like {POSTGRES_URL_FORM}, or unset it: then a temporary server is started."
        )
    steps(f"using PostgreSQL at {address.host or 'its socket'}")
    yield given


@dataclass(frozen=True)
class Servers:
    """The URLs of the servers, the first two of their administrators."""

    broker: str
    database: str
    cache: str


def servers(stack: ExitStack, steps: Steps) -> Servers:
    """The servers, until `stack` is closed. They are started side by side."""
    database = stack.enter_context(ExitStack())
    # Left first, so that a server that is being started is complete before it is ended.
    pool = stack.enter_context(ThreadPoolExecutor(1))
    starting = pool.submit(lambda: database.enter_context(database_server(steps)))
    steps("starting Redis (Valkey), for the counts of quotas")
    cache = stack.enter_context(valkey.server())
    return Servers(broker=stack.enter_context(broker(steps)), database=starting.result(), cache=cache)


@contextmanager
def broker(steps: Steps) -> Iterator[str]:
    """This run's own virtual host on the server in AMQP_URL. Raises SystemExit if that is unusable."""
    url = os.environ.get("AMQP_URL", rabbitmq.DEFAULT_URL)
    with ExitStack() as stack:
        try:
            host = rabbitmq.address_of(url).servers[0].host
            steps(f"making a virtual host at RabbitMQ on {host}")
            made = stack.enter_context(rabbitmq.virtual_host(url))
        except Unavailable as reason:
            sys.exit(f"make split needs RabbitMQ: {reason}\nRemedy: {rabbitmq.REMEDY}, or set AMQP_URL.")
        try:
            yield made
        finally:
            steps("deleting the virtual host at RabbitMQ")
