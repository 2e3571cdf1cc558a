"""SPIFFE ids: the names of services in certificates, as `spiffe://<trust domain>/<name>`.

A module's name is its label, the gateway's is `gateway`. In a certificate the id is the only URI among the alternative
names (the X.509-SVID standard of SPIFFE).
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from pangaea.errors import Misconfigured

SCHEME = "spiffe://"
GATEWAY = "gateway"

_TRUST_DOMAIN = re.compile(r"[a-z0-9._-]{1,255}")
_PATH = re.compile(r"(/[A-Za-z0-9._-]+)+")


def identity(trust_domain: str, name: str) -> str:
    """The SPIFFE id of a module or of the gateway. A name that is an id already is returned unchanged.

    Raises Misconfigured for a name or a trust domain that cannot be part of an id.
    """
    found = name if name.startswith(SCHEME) else f"{SCHEME}{trust_domain}/{name}"
    domain, slash, path = found.removeprefix(SCHEME).partition("/")
    dots = {".", ".."} & set(path.split("/"))
    if not (_TRUST_DOMAIN.fullmatch(domain) and _PATH.fullmatch(slash + path)) or dots:
        raise Misconfigured(
            f"{found!r} is no SPIFFE id. Write spiffe://{trust_domain or 'pangaea.local'}/orders, or just orders: "
            "a trust domain has lower-case letters, digits, dots, dashes and underscores."
        )
    return found


def identities(trust_domain: str, names: Iterable[str]) -> frozenset[str]:
    """The SPIFFE ids of several names. Raises Misconfigured as `identity` does."""
    return frozenset(identity(trust_domain, name) for name in names)


def of_certificate(certificate: Mapping[str, Any] | None) -> str | None:
    """The SPIFFE id in a certificate, as `ssl.SSLSocket.getpeercert()` returns it; None unless it is the only URI."""
    names = (certificate or {}).get("subjectAltName", ())
    uris = [value for kind, value in names if kind == "URI"]
    return uris[0] if len(uris) == 1 and uris[0].startswith(SCHEME) else None


def is_module_of(trust_domain: str, found: str) -> bool:
    """Whether the SPIFFE id `found` names a service of this trust domain: it has one word after the domain."""
    head, _, name = found.rpartition("/")
    return head == f"{SCHEME}{trust_domain}" and bool(name)
