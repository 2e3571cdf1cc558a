"""Addresses of servers on other hosts that are reached without verified TLS.

Verified means that the server's certificate comes from a known authority and has the host's name (RFC 9525). Hosts of
this machine (the loopback, a Unix socket) and those in UNVERIFIED_HOSTS need no TLS.
"""

import os
from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from pathlib import Path

from pangaea.addresses.broker import Broker
from pangaea.addresses.http import Http
from pangaea.addresses.postgresql import PostgreSQL

SECURED = {"amqp": "amqps", "redis": "rediss", "http": "https"}
"""Schemes without TLS, and their replacements."""
VERIFIED = "verify-full"
SYSTEM = "system"
"""libpq's `sslrootcert` for the authorities that the system trusts."""


def problems(
    variable: str, address: PostgreSQL | Broker | Http, *, accepted: Iterable[str], environ: Mapping[str, str]
) -> list[str]:
    """One sentence per server that is reached without verified TLS.

    `environ` has libpq's own variables (PGSSLMODE …), which apply where the URL lacks the parameter. Of the URL the
    sentences quote only the hosts, `sslmode` and `sslrootcert`.
    """
    names = {_normalised(each) for each in accepted}
    if isinstance(address, PostgreSQL):
        unverified = _postgresql(address, environ)
    else:
        hosts = [each.host for each in address.servers] if isinstance(address, Broker) else [address.host]
        secured = SECURED.get(address.scheme)
        unverified = dict.fromkeys(hosts, f"use {secured}://") if secured else {}
    return [
        f"{variable} reaches {host} without verified TLS: {remedy}, or accept the host by name, where something else "
        f"protects the network between: UNVERIFIED_HOSTS={host}."
        for host, remedy in unverified.items()
        if not _is_local(host) and _normalised(host) not in names
    ]


def _postgresql(address: PostgreSQL, environ: Mapping[str, str]) -> dict[str, str]:
    """The hosts that libpq would connect to without verifying them, each with the remedy."""

    def parameter(name: str) -> str:
        return address.parameters.get(name) or environ.get(f"PG{name.upper()}") or ""

    mode, authorities = parameter("sslmode"), parameter("sslrootcert")
    if mode != VERIFIED:
        problem = f"sslmode is {mode or 'not set'}"
    elif not authorities:
        problem = "sslrootcert is not set"
    elif authorities != SYSTEM and not (Path(authorities).is_file() and os.access(authorities, os.R_OK)):
        problem = f"its sslrootcert, {authorities}, cannot be read"
    else:
        return {}
    # libpq prefers `hostaddr` to `host`, and a service of its service file may name another host.
    hosts = f"{address.host or parameter('host')},{parameter('hostaddr')},{parameter('service')}".split(",")
    remedy = f"{problem}, give the URL ?sslmode={VERIFIED}&sslrootcert=FILE (or {SYSTEM})"
    return {each: remedy for each in hosts if each}


def _normalised(host: str) -> str:
    return host.strip("[]").rstrip(".").lower()


def _is_local(host: str) -> bool:
    if not host or host.startswith(("/", "@")) or _normalised(host) == "localhost":
        return True
    try:
        return ip_address(_normalised(host)).is_loopback
    except ValueError:
        return False
