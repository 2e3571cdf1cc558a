"""The address of the shared cache: one Redis server."""

from pangaea.addresses import broker
from pangaea.addresses.broker import REDIS, Broker
from pangaea.errors import Misconfigured

EXAMPLE = "rediss://user:password@host:6379/0"


def parse(text: str) -> Broker:
    """The server that a URL names, with the number of its database. Raises Misconfigured."""
    for sign, escape, reason in (
        ("?", "%3F", "set it without a query, since certificates are verified, against CACHE_CA if set"),
        (";", "%3B", "set one URL, that of the server or of the proxy before its replicas"),
    ):
        if sign in text:
            raise Misconfigured(f"has a {sign}: {reason}; in a password write {escape}.")
    return broker.single(text, schemes=REDIS, example=EXAMPLE)
