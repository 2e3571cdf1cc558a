"""The keys that sign and verify access tokens.

A process either holds the keys itself (SIGNING_KEY) or asks the process that does (JWKS_URL). The first key signs, all
are published and verify. So a rotation needs nobody's restart and refuses no token: the next key is published, behind
the others, long before it signs, and the former one is kept until its last token has expired. With SIGNING_KEY_FILE
`manage.py signing_keys` does that, and the file is read again when it changes.
"""

import functools
import json
import re
from pathlib import Path

from django.conf import settings
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from pangaea.errors import Misconfigured
from pangaea.identity import remote_keys, spiffe
from pangaea.identity.mutual_tls import Files, PeerHandler
from pangaea.identity.remote_keys import RemoteKeys
from pangaea.replaced_files import Renewing
from pangaea.settings.declared import Declared

ALGORITHM = "ES256"
CURVE = "P-256"

_PEM = re.compile(r"-----BEGIN [A-Z ]+-----.+?-----END [A-Z ]+-----", re.DOTALL)


def signing_key() -> ECKey:
    """The key that signs. Raises Misconfigured in a process that holds none."""
    keys = _own()
    if not keys:
        raise Misconfigured("This process holds no signing key, so it cannot issue tokens: set SIGNING_KEY.")
    if not keys[0].is_private:
        raise Misconfigured("The first key of SIGNING_KEY is a public key and cannot sign: put a private key first.")
    return keys[0]


def problem(material: str) -> str:
    """Why that text cannot be SIGNING_KEY; empty if it can. Quotes nothing of it."""
    try:
        parse(material)
    except Misconfigured as error:
        return str(error)
    return ""


def public_jwks() -> dict[str, list[dict[str, object]]]:
    """The public halves of this process's own keys as a JWK Set (RFC 7517); no keys, an empty set."""
    return {"keys": [dict(key.as_dict(private=False)) for key in _own()]}


def find(kid: str) -> ECKey | None:
    """The key of this id, which may verify, or None. Raises Unavailable when the process that knows cannot be asked."""
    for key in _own():
        if key.kid == kid:
            return key
    return _source().find(kid) if settings.PANGAEA.jwks_url else None


def available() -> bool:
    """Whether this process has keys to verify with, or gets some now from where JWKS_URL says."""
    if _own() or not settings.PANGAEA.jwks_url:
        return True
    return _source().available()


@functools.lru_cache(maxsize=8)
def _remote(url: str, files: Files | None, source: str) -> RemoteKeys:
    """The keys at `url`. A process that has a certificate shows it there, and believes only the SPIFFE id `source`."""
    if files is None:
        return RemoteKeys(url)
    opener = remote_keys.opener(PeerHandler(files, source))
    return RemoteKeys(url, fetch=lambda url: remote_keys.fetch(url, opener))


def _source() -> RemoteKeys:
    declared: Declared = settings.PANGAEA
    return _remote(
        declared.jwks_url, Files.of(declared), spiffe.identity(declared.trust_domain, declared.jwks_identity)
    )


def _own() -> tuple[ECKey, ...]:
    declared: Declared = settings.PANGAEA
    return _in_file(declared.signing_key_file).current() if declared.signing_key_file else parse(declared.signing_key)


@functools.lru_cache(maxsize=8)
def _in_file(path: str) -> Renewing[tuple[ECKey, ...]]:
    file = Path(path)
    return Renewing((file,), lambda: read(file), what="signing keys")


def read(file: Path) -> tuple[ECKey, ...]:
    """The keys in a file, one at least. Raises Misconfigured; no error quotes a key."""
    try:
        found = parse(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"{file} cannot be read ({getattr(error, 'strerror', None) or 'not UTF-8'}).") from error
    except Misconfigured as error:
        raise Misconfigured(f"{file}: {error}") from None
    if not found:
        raise Misconfigured(f"{file} is empty.")
    return found


@functools.lru_cache(maxsize=8)
def parse(material: str) -> tuple[ECKey, ...]:
    """Keys from PEM blocks, a JWK or a JWK Set; of nothing, none. Raises Misconfigured, which does not quote it."""
    material = material.strip()
    if not material:
        return ()
    try:
        keys = _from_json(material) if material.startswith("{") else _from_pem(material)
    except (JoseError, ValueError, TypeError, KeyError):
        # The cause may quote the key, so the chain stops here.
        keys = ()
    if not keys or any(key.curve_name != CURVE for key in keys):
        raise Misconfigured(
            f"SIGNING_KEY must be one or more EC {CURVE} keys, as PEM blocks, a JWK or a JWK Set. "
            "Make one with: openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256"
        )
    if len({key.kid for key in keys}) != len(keys):
        raise Misconfigured("Two keys of SIGNING_KEY have the same id (kid): each key once.")
    return keys


def _from_json(material: str) -> tuple[ECKey, ...]:
    document = json.loads(material)
    return tuple(_labelled(ECKey.import_key(key)) for key in document.get("keys", [document]))


def _from_pem(material: str) -> tuple[ECKey, ...]:
    # Environment files often hold a PEM on one line, its line ends written as \n.
    blocks = _PEM.findall(material.replace("\\n", "\n"))
    return tuple(_labelled(ECKey.import_key(block)) for block in blocks)


def _labelled(key: ECKey) -> ECKey:
    """The key with an id (its RFC 7638 thumbprint when it brings none) and what it is for."""
    private = key.is_private
    fields = key.as_dict(private=private)
    kid = fields.get("kid") or key.thumbprint()
    return ECKey.import_key({**fields, "kid": kid, "use": "sig", "alg": ALGORITHM})
