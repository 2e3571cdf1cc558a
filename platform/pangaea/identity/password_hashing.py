"""A bound on the password hashes that a process computes at once: each occupies a core for a good part of a second.

It covers customers and operators: log-ins (also to accounts that do not exist), registrations and new passwords.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib.auth.hashers import BasePasswordHasher, PBKDF2PasswordHasher

from pangaea.errors import Unavailable
from pangaea.identity.password_spelling import Opaque

LONGEST_WAIT = 2.0
"""Seconds to wait for a turn: the time of several hashes, and less than a client waits for an answer."""


class Turns:
    """Turns for PASSWORD_HASHES_AT_ONCE threads at once. As many more may wait for a turn; the rest are refused."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._running = 0
        self._waiting = 0

    @contextmanager
    def one(self) -> Iterator[None]:
        """Hold a turn. Raises Unavailable where too many threads wait already, or after LONGEST_WAIT."""
        limit: int = settings.PANGAEA.password_hashes_at_once
        with self._changed:
            if self._running >= limit:
                self._wait(limit)
            self._running += 1
        try:
            yield
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify()

    def _wait(self, limit: int) -> None:
        if self._waiting >= limit:
            raise Unavailable("Too many passwords are hashed at once.")
        self._waiting += 1
        try:
            if not self._changed.wait_for(lambda: self._running < limit, timeout=LONGEST_WAIT):
                raise Unavailable("Too many passwords are hashed at once.")
        finally:
            self._waiting -= 1


_turns = Turns()

if TYPE_CHECKING:
    _Hasher = BasePasswordHasher
else:
    _Hasher = object


class Bounded(_Hasher):
    """A mixin that bounds the concurrent calls of a hasher's `encode` per process.

    Put it before one of Django's hashers, which do all their work in `encode`.
    """

    def encode(self, *args: Any, **kwargs: Any) -> str:
        """Hash as the hasher does. Raises Unavailable, which is answered with 503 and `Retry-After`."""
        with _turns.one():
            return super().encode(*args, **kwargs)


class BoundedPBKDF2(Opaque, Bounded, PBKDF2PasswordHasher):
    """Django's default hasher, which hashes a password in its one spelling; the hashes have the same format."""
