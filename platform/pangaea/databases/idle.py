"""Connections that were idle: the server may have ended them (idle_session_timeout), which is no outage."""

import threading
from time import monotonic

from django.db import connections

IDLE_AFTER = 0.5
"""Seconds without work after which a connection is checked before it is used, by one more round trip."""

_begun = threading.local()
"""For each alias, when this thread last began to work on it."""


def renew(alias: str) -> None:
    """Begin to work on this thread's connection of the alias, which is replaced if it broke while it was idle.

    It is also replaced when it is older than DATABASE_CONNECTION_AGE. Between pieces of work that follow each other
    closely it is not checked: the next statement fails if it broke.
    """
    connection, now = connections[alias], monotonic()
    if connection.in_atomic_block:
        return
    was_idle = now - getattr(_begun, alias, float("-inf")) >= IDLE_AFTER
    setattr(_begun, alias, now)
    if was_idle or connection.errors_occurred:
        connection.close_if_unusable_or_obsolete()
    connection.health_check_done = not was_idle  # type: ignore[attr-defined] # django-stubs omit it
