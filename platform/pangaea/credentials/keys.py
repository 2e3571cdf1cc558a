"""EC keys as text: PEM blocks, a JWK or a JWK Set (RFC 7517)."""

import functools
import json
import re
from pathlib import Path

from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from pangaea.errors import Misconfigured

ALGORITHM = "ES256"
CURVE = "P-256"
_PEM = re.compile(r"-----BEGIN [A-Z ]+-----.+?-----END [A-Z ]+-----", re.DOTALL)


@functools.lru_cache(maxsize=8)
def parse(material: str) -> tuple[ECKey, ...]:
    """The keys in PEM blocks, a JWK or a JWK Set; none in empty text. Raises Misconfigured, without quoting a key."""
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
    """The key with its use, its algorithm and an id: the one that it has, or else its RFC 7638 thumbprint."""
    private = key.is_private
    fields = key.as_dict(private=private)
    kid = fields.get("kid") or key.thumbprint()
    return ECKey.import_key({**fields, "kid": kid, "use": "sig", "alg": ALGORITHM})


def read(file: Path) -> tuple[ECKey, ...]:
    """The keys in a file, at least one. Raises Misconfigured, without quoting a key."""
    try:
        found = parse(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"{file} cannot be read ({getattr(error, 'strerror', None) or 'not UTF-8'}).") from error
    except Misconfigured as error:
        raise Misconfigured(f"{file}: {error}") from None
    if not found:
        raise Misconfigured(f"{file} is empty.")
    return found
