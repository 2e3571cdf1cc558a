"""Public helpers for tests of the kernel and of modules, and a pytest plugin (`-p pangaea.testing`).

For the tests of a module:
    published(module)                     the messages in the module's outbox
    deliver(message, key=..., to=...)     applies a message to a module's subscriptions, as its worker would
    access_token(subject, scopes)         a customer's token, narrowed or not, without the users module
    client_for(subject, scopes)           an API client that sends it
    expire_answers(module)                empties the answers recorded under Idempotency-Keys
    verify_exchange(exchange)             compares an answer with the OpenAPI document; done for every test client
    wait_until(condition, what=...)       a wait on a condition, with a generous limit; never a sleep
    free_port()                           a port on which no process listens

Fixtures: `postgres_url`, `redis_url` and `amqp_url` are real servers, one per session; `django_db_setup` and
`postgresql_only` set up and select the databases of Django's tests, on the engine of `--engine`. Each test begins with
an empty cache, so that no quota is used up by another test.

The files:
    messaging     published, deliver
    identity      access_token, client_for
    idempotency   expire_answers
    answers       Exchange, verify_exchange; the middleware that compares every answer with the document
    documented    an OpenAPI document, compiled
    servers       the fixtures of the servers, which `pangaea.servers` starts
    caches        the fixture that empties the cache
    databases     the fixtures of the databases
    hashing       the password hasher of the profile `test`
    availability  skipping, or in CI failing, the tests of a missing server
    plugin        pytest's hooks

Importing this package needs no Django settings and imports no model.
"""

from pangaea.servers.waiting import free_port, wait_until
from pangaea.testing.answers import Exchange, verify_exchange
from pangaea.testing.idempotency import expire_answers
from pangaea.testing.identity import access_token, client_for
from pangaea.testing.messaging import Published, deliver, published
from pangaea.testing.plugin import pytest_addoption, pytest_configure, pytest_terminal_summary

__all__ = [
    "Exchange",
    "Published",
    "access_token",
    "client_for",
    "deliver",
    "expire_answers",
    "free_port",
    "published",
    "pytest_addoption",
    "pytest_configure",
    "pytest_terminal_summary",
    "verify_exchange",
    "wait_until",
]
