"""The secret that lets a client prolong a log-in: opaque, random, usable once."""

import hashlib
import hmac
import secrets
from base64 import b64decode, urlsafe_b64encode
from dataclasses import dataclass, field
from typing import Self
from uuid import UUID

_ID_BYTES = 16
_SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """The id of a grant and a secret of 256 random bits, of which the database stores only the SHA-256.

    A fast hash is enough: unlike a password, the secret cannot be guessed.
    """

    grant_id: UUID
    secret: bytes = field(repr=False)

    @classmethod
    def generate(cls, *, grant_id: UUID) -> Self:
        return cls(grant_id=grant_id, secret=secrets.token_bytes(_SECRET_BYTES))

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """The token that `text` encodes; None where it encodes none."""
        try:
            raw = b64decode(text.encode("ascii"), altchars=b"-_", validate=True)
        except ValueError:
            return None
        if len(raw) != _ID_BYTES + _SECRET_BYTES:
            return None
        return cls(grant_id=UUID(bytes=raw[:_ID_BYTES]), secret=raw[_ID_BYTES:])

    def successor(self, salt: bytes) -> Self:
        """The token that replaces this one, derived from its secret and the salt. The salt alone is of no use."""
        return type(self)(grant_id=self.grant_id, secret=hmac.digest(self.secret, salt, "sha256"))

    @property
    def text(self) -> str:
        """64 characters, fit for a URL."""
        return urlsafe_b64encode(self.grant_id.bytes + self.secret).decode("ascii")

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.secret).hexdigest()
