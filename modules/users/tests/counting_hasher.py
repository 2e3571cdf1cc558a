"""A password hasher that counts its work, to show that unknown addresses cost as much as known ones."""

from typing import ClassVar

from django.contrib.auth.hashers import MD5PasswordHasher

from pangaea.identity.password_spelling import Opaque


class _Counting(MD5PasswordHasher):
    algorithm = "counting"
    calls: ClassVar[list[str]] = []

    def encode(self, password: str, salt: str) -> str:
        self.calls.append(salt)
        return super().encode(password, salt)


class CountingHasher(Opaque, _Counting):
    """Each call is one hash computed."""
