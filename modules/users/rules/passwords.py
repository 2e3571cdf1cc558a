"""The rules for passwords, and their hashing, which is slow on purpose: a good part of a second.

Hash before a transaction opens: inside one, hashing would hold locks for that long, and on SQLite keep every other
writer of the module waiting.
"""

from dataclasses import dataclass, field
from typing import Any, NewType

from django.contrib.auth import hashers
from django.contrib.auth.password_validation import (
    UserAttributeSimilarityValidator,
    get_default_password_validators,
    validate_password,
)

from pangaea import text

PasswordHash = NewType("PasswordHash", str)

MAX_BYTES = 4096
"""More than any typed password has. Without a limit, a client could make the server hash megabytes."""

_similarity = UserAttributeSimilarityValidator(user_attributes=("full_name",))


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a password was right, and its hash by the current hasher where the stored one is out of date."""

    right: bool
    renewed: PasswordHash | None = field(default=None, repr=False)


def check(password: str, *, owner: Any) -> None:
    """Raise Django's ValidationError, one code per reason, unless `AUTH_PASSWORD_VALIDATORS` accept the password.

    The password is judged in the spelling that is hashed (`text.opaque`). `owner` has the fields `email` and
    `full_name`, which it must not resemble.
    """
    spelling = text.opaque(password)
    validate_password(spelling, owner)
    _similarity.validate(spelling, owner)


def min_length() -> int:
    """The fewest characters of a new password that `AUTH_PASSWORD_VALIDATORS` accept."""
    lengths = [each.min_length for each in get_default_password_validators() if hasattr(each, "min_length")]
    return max(lengths, default=1)


def hashed(password: str) -> PasswordHash:
    """The salted hash, by the first of `PASSWORD_HASHERS`."""
    return PasswordHash(hashers.make_password(text.opaque(password)))


def verify(password: str, password_hash: str | None) -> Verdict:
    """Compare a password with its hash. Takes as long if there is no hash, so that the delay reveals no account.

    A hash may be of another spelling than `text.opaque`, from an earlier version: it is renewed with the password that
    proves to have one.
    """
    if password_hash is None:
        hashers.make_password(password)
        return Verdict(right=False)
    right, outdated = hashers.verify_password(password, password_hash)
    outdated = outdated or text.opaque(password) != password
    return Verdict(right=right, renewed=hashed(password) if right and outdated else None)
