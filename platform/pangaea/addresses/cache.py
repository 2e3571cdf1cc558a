"""The address of the shared cache: one Redis server."""

from pangaea.addresses import broker
from pangaea.addresses.broker import REDIS, Broker
from pangaea.errors import Misconfigured

_EXAMPLE = "rediss://user:password@host:6379/0"


def parse(text: str) -> Broker:
    """The server that a URL names, with the number of its database. Raises Misconfigured."""
    scheme = text.partition("://")[0]
    if scheme not in REDIS:
        raise Misconfigured(f"is no address of Redis: set a URL like {_EXAMPLE}.")
    if "?" in text:
        raise Misconfigured(
            "has a ?: set it without a query, and write %3F for ? in a password. Certificates are verified, against "
            "CACHE_CA if set."
        )
    found = broker.parse(text)
    if len(found.servers) > 1:
        raise Misconfigured("has several URLs: set one, that of the server or of the proxy before its replicas.")
    return found
