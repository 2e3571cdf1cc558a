"""Public helpers for tests of the kernel and of modules, and a pytest plugin (`-p pangaea.testing`).

Real servers, session-scoped, see `servers`:
    postgres_url, redis_url, amqp_url
The databases that Django tests run on, chosen by `--engine`, see `databases`:
    django_db_setup, postgresql_only
What a module author calls in a test:
    published(module)                     what the module put in its outbox
    deliver(message, key=..., to=...)     applies a message to a module's subscriptions, as its worker would
    access_token(subject, scopes=...)     a token signed by this process's key, without the users module
    client_for(subject, scopes=...)       an API client that sends it
    wait_until(condition, what=...)       a generous wait on a condition, never a sleep

Importing this package needs no Django settings and imports no model.
"""

from pangaea.servers.waiting import free_port, wait_until
from pangaea.testing.identity import ALL_SCOPES, access_token, client_for
from pangaea.testing.messaging import Published, deliver, published
from pangaea.testing.plugin import pytest_addoption, pytest_configure, pytest_terminal_summary

__all__ = [
    "ALL_SCOPES",
    "Published",
    "access_token",
    "client_for",
    "deliver",
    "free_port",
    "published",
    "pytest_addoption",
    "pytest_configure",
    "pytest_terminal_summary",
    "wait_until",
]
