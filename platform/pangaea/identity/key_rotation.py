"""A file of signing keys, and their rotation.

The file is a JWK Set (RFC 7517) of the key that signs, the next key, and the public half of the former key. The next
key has been published since the previous rotation, so every verifier knows it when it begins to sign. Tokens that the
former key signed are accepted until the next rotation; by then the last of them has expired.
"""

import json
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from joserfc.jwk import ECKey

from pangaea.credentials import keys
from pangaea.errors import Misconfigured
from pangaea.identity import tokens
from pangaea.identity.remote_keys import REFRESH_AFTER
from pangaea.reloading import locked, write_atomically


@dataclass(frozen=True, slots=True)
class KeyFile:
    """The file at `path`. Several processes may use it at once. Methods raise Misconfigured if it has other content."""

    path: Path

    def make(self) -> bool:
        """Create the file with a signing key and a next key, or add a missing next key. False if it is complete."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with locked(self.path.parent):
            known = self.list() if self.path.exists() else [_generate()]
            if _next(known):
                return False
            self._write([known[0], _generate(), *known[1:]])
            return True

    def list(self) -> list[ECKey]:
        """The keys, beginning with the one that signs."""
        found = list(keys.read(self.path))
        if not found[0].is_private:
            raise Misconfigured(f"The first key of {self.path} is a public key and cannot sign.")
        return found

    def rotate(self, *, token_lifetime: timedelta) -> None:
        """Make the next key sign.

        Raises Misconfigured too soon after the last change of the file: while tokens of the last but one key may be
        valid (for `token_lifetime`), or some verifier may not have read the next key (for REFRESH_AFTER).
        """
        with self._there():
            signing, coming = self._pair()
            pause = max(token_lifetime.total_seconds() + tokens.LEEWAY, REFRESH_AFTER)
            age = max(0.0, time.time() - self.path.stat().st_mtime)
            if age < pause:
                raise Misconfigured(
                    f"{self.path} changed {age:.0f} s ago. Wait until {pause:.0f} s have passed: until then, tokens of "
                    "the last but one key may be valid, and some verifiers may not have read the next key. If a key "
                    "has leaked, --withdraw it."
                )
            self._write([coming, _generate(), _public(signing)])

    def withdraw(self) -> None:
        """Make the next key sign at once, and accept no token that another key signed."""
        with self._there():
            _, coming = self._pair()
            self._write([coming, _generate()])

    @contextmanager
    def _there(self) -> Iterator[None]:
        if not self.path.exists():
            raise Misconfigured(
                f"There is no {self.path}. Run the command without --rotate and --withdraw: it makes one."
            )
        with locked(self.path.parent):
            yield

    def _pair(self) -> tuple[ECKey, ECKey]:
        known = self.list()
        if (coming := _next(known)) is None:
            raise Misconfigured(f"{self.path} holds no next key. Run the command without --rotate, which adds one.")
        return known[0], coming

    def _write(self, found: Sequence[ECKey]) -> None:
        document = {"keys": [key.as_dict(private=key.is_private) for key in found]}
        # The mode is preserved: the service may read the file as a member of its group.
        mode = stat.S_IMODE(self.path.stat().st_mode) if self.path.exists() else 0o600
        write_atomically(self.path, (json.dumps(document, indent=1) + "\n").encode(), mode=mode)


def _next(known: Sequence[ECKey]) -> ECKey | None:
    return next((key for key in known[1:] if key.is_private), None)


def _generate() -> ECKey:
    (key,) = keys.parse(ECKey.generate_key(keys.CURVE).as_pem(private=True).decode())
    return key


def _public(key: ECKey) -> ECKey:
    return ECKey.import_key(key.as_dict(private=False))
