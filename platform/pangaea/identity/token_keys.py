"""The keys that sign and verify access tokens.

A process either holds the keys itself (SIGNING_KEY) or asks the process that holds them (JWKS_URL). The first key
signs; all keys are published and verify. So a rotation refuses no token: the next key is published, after the first,
long before it signs, and the former key is kept until its last token has expired. With SIGNING_KEY_FILE, `manage.py
signing_keys` rotates the keys, and no restart is needed, because the file is read again when it changes.
"""

import functools
from pathlib import Path

from django.conf import settings
from joserfc.jwk import ECKey

from pangaea.configuration.declared import Declared
from pangaea.credentials import keys, spiffe
from pangaea.credentials.mutual_tls import Files, PeerHandler
from pangaea.errors import Misconfigured
from pangaea.identity import remote_keys
from pangaea.identity.remote_keys import RemoteKeys
from pangaea.reloading import Reloading


def signing_key() -> ECKey:
    """The key that signs. Raises Misconfigured in a process that holds none."""
    own = _own()
    if not own:
        raise Misconfigured("This process holds no signing key, so it cannot issue tokens: set SIGNING_KEY.")
    if not own[0].is_private:
        raise Misconfigured("The first key of SIGNING_KEY is a public key and cannot sign: put a private key first.")
    return own[0]


def public_jwks() -> dict[str, list[dict[str, object]]]:
    """The public halves of this process's own keys as a JWK Set (RFC 7517), which is empty if it has none."""
    return {"keys": [dict(key.as_dict(private=False)) for key in _own()]}


def find(kid: str) -> ECKey | None:
    """The key of this id for verifying, or None. Raises Unavailable when the process at JWKS_URL cannot be read."""
    for key in _own():
        if key.kid == kid:
            return key
    return _source().find(kid) if settings.PANGAEA.jwks_url else None


def available() -> bool:
    """Whether this process has keys to verify with. Where it has none, they are requested from JWKS_URL."""
    if _own() or not settings.PANGAEA.jwks_url:
        return True
    return _source().available()


@functools.lru_cache(maxsize=8)
def _remote(url: str, files: Files | None, source: str) -> RemoteKeys:
    """The keys at `url`. A process that has a certificate shows it there, and accepts only the SPIFFE id `source`."""
    if files is None:
        return RemoteKeys(url)
    opener = remote_keys.opener(PeerHandler(files, source))
    return RemoteKeys(url, fetch=lambda url: remote_keys.fetch(url, opener))


def _source() -> RemoteKeys:
    declared: Declared = settings.PANGAEA
    return _remote(
        declared.jwks_url, declared.tls_files, spiffe.identity(declared.trust_domain, declared.jwks_identity)
    )


def _own() -> tuple[ECKey, ...]:
    declared: Declared = settings.PANGAEA
    return (
        _in_file(declared.signing_key_file).current() if declared.signing_key_file else keys.parse(declared.signing_key)
    )


@functools.lru_cache(maxsize=8)
def _in_file(path: str) -> Reloading[tuple[ECKey, ...]]:
    file = Path(path)
    return Reloading((file,), lambda: keys.read(file), what="signing keys")
