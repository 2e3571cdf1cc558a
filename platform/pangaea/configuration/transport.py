"""URLs that reach servers on other hosts without verified TLS.

Verified means that the server's certificate comes from a known authority and has the host's name (RFC 9525). Hosts of
this machine (the loopback, a Unix socket) and those in UNVERIFIED_HOSTS need no TLS.
"""

import os
from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import unquote, urlsplit

from environ import Env

SCHEMES = {"amqp": "amqps", "redis": "rediss", "http": "https"}
"""Schemes without TLS, and their replacements."""
POSTGRESQL = ("postgres", "postgresql", "pgsql", "psql")
VERIFIED = "verify-full"
SYSTEM = "system"
"""libpq's `sslrootcert` for the authorities that the system trusts."""


def problems(variable: str, url: str, *, accepted: Iterable[str], environ: Mapping[str, str]) -> list[str]:
    """One sentence per server that the URL reaches without verified TLS.

    `url` is well-formed; for a broker's cluster it consists of several URLs. `environ` has libpq's own variables
    (PGSSLMODE …), which apply where the URL lacks the parameter. Of the URL the sentences quote only the hosts,
    `sslmode` and `sslrootcert`.
    """
    names = {_normalised(each) for each in accepted}
    if urlsplit(url).scheme in POSTGRESQL:
        unverified = _postgresql(url, environ)
    else:
        clear = [address for address in map(urlsplit, url.split(";")) if address.scheme in SCHEMES]
        unverified = {address.hostname or "": f"use {SCHEMES[address.scheme]}://" for address in clear}
    return [
        f"{variable} reaches {host} without verified TLS: {remedy}, or accept the host by name, where something else "
        f"protects the network between: UNVERIFIED_HOSTS={host}."
        for host, remedy in unverified.items()
        if not _is_local(host) and _normalised(host) not in names
    ]


def _postgresql(url: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The hosts that libpq would connect to without verifying them, each with the remedy."""
    entry = Env.db_url_config(url)
    options = entry.get("OPTIONS", {})

    def parameter(name: str) -> str:
        return str(options.get(name) or environ.get(f"PG{name.upper()}") or "")

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
    hosts = f"{entry['HOST'] or parameter('host')},{parameter('hostaddr')},{parameter('service')}".split(",")
    remedy = f"{problem}, give the URL ?sslmode={VERIFIED}&sslrootcert=FILE (or {SYSTEM})"
    return {unquote(each): remedy for each in hosts if each}


def _normalised(host: str) -> str:
    return host.strip("[]").rstrip(".").lower()


def _is_local(host: str) -> bool:
    if not host or host.startswith(("/", "@")) or _normalised(host) == "localhost":
        return True
    try:
        return ip_address(_normalised(host)).is_loopback
    except ValueError:
        return False
