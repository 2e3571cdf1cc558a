"""The client's address, as far as it can be trusted."""

import ipaddress

from django.conf import settings
from django.http import HttpRequest
from rest_framework.request import Request

IPV6_PREFIX = 64
"""Providers give each customer at least a network of this prefix length, so all its addresses count as one."""


def client_network(request: HttpRequest | Request) -> str | None:
    """The client's IPv4 address, or the /64 network of its IPv6 address; None where the connection has neither.

    Behind TRUSTED_PROXIES proxies it is the address that connected to the first of them. Each proxy appends the address
    of its own client to X-Forwarded-For. The client may have forged the entries before those of the proxies.
    """
    peer = str(request.META.get("REMOTE_ADDR", ""))
    proxies: int = settings.PANGAEA.trusted_proxies
    if proxies:
        entries = request.headers.get("X-Forwarded-For", "").split(",")
        forwarded = entries[-proxies] if len(entries) >= proxies else ""
        return _network(forwarded) or _network(peer)
    return _network(peer)


def _network(text: str) -> str | None:
    try:
        address = ipaddress.ip_address(text.strip())
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(address), IPV6_PREFIX), strict=False))
