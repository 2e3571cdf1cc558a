"""The parameters of libpq that a database's URL may have in its query, each with its values.

A parameter that is not in this list is refused. libpq itself would report it at the first connection only, and Django
would obey some (ATOMIC_REQUESTS).
"""

import os
import re
from collections.abc import Callable
from pathlib import Path

import psycopg

from pangaea.addresses import url
from pangaea.errors import Misconfigured

Rule = Callable[[str], str]
"""Takes a value; returns the values that are allowed, or an empty text if it is one of them."""


def _words(*words: str) -> Rule:
    return lambda value: "" if value in words else f"one of {', '.join(words)}"


def _number(least: int, most: int) -> Rule:
    return lambda value: (
        "" if re.fullmatch(r"[0-9]{1,10}", value) and least <= int(value) <= most else f"a number, {least} to {most}"
    )


def _file(value: str) -> str:
    return "" if Path(value).is_file() and os.access(value, os.R_OK) else "the path of a file that can be read"


def _folder(value: str) -> str:
    return "" if Path(value).is_dir() else "the path of a folder"


def _any(_: str) -> str:
    return ""


def _addresses(value: str) -> str:
    return "" if all(map(url.is_address, value.split(","))) else "IP addresses, separated by commas"


def _methods(value: str) -> str:
    method = r"(?:password|md5|gss|sspi|scram-sha-256|oauth|none)"
    is_list = re.fullmatch(rf"{method}(,{method})*|!{method}(,!{method})*", value)
    return "" if is_list else "a list of methods, like scram-sha-256"


_SWITCH = _words("0", "1")
_TLS_VERSION = _words("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
_PROTOCOL = _words("3.0", "3.2", "latest")
_SECONDS = _number(1, 86_400)
_KEEPALIVE = _number(1, 32_767)
"""Linux takes no more seconds."""

ALLOWED: dict[str, Rule] = {
    "host": _any,  # judged with the hosts before the path, as is port
    "port": _any,
    "hostaddr": _addresses,
    "options": _any,  # judged by `options`
    # The kernel writes: a session on a standby is of no use.
    "target_session_attrs": _words("any", "read-write", "primary"),
    "load_balance_hosts": _words("disable", "random"),
    "connect_timeout": _SECONDS,
    "keepalives": _SWITCH,
    "keepalives_idle": _KEEPALIVE,
    "keepalives_interval": _KEEPALIVE,
    "keepalives_count": _number(1, 127),
    "tcp_user_timeout": _number(0, 86_400_000),
    "application_name": _any,
    "passfile": _file,
    "require_auth": _methods,
    "channel_binding": _words("disable", "prefer", "require"),
    "sslmode": _words("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "sslnegotiation": _words("postgres", "direct"),
    "sslrootcert": _any,  # `transport` requires a file that can be read, where one is needed
    "sslcert": _file,
    "sslkey": _file,
    "sslpassword": _any,
    "sslcertmode": _words("disable", "allow", "require"),
    "sslcrl": _file,
    "sslcrldir": _folder,
    "sslsni": _SWITCH,
    "sslcompression": _SWITCH,
    "ssl_min_protocol_version": _TLS_VERSION,
    "ssl_max_protocol_version": _TLS_VERSION,
    "min_protocol_version": _PROTOCOL,
    "max_protocol_version": _PROTOCOL,
    "requirepeer": _any,
    "gssencmode": _words("disable", "prefer", "require"),
    "gssdelegation": _SWITCH,
    "krbsrvname": _any,
}
_BEFORE_THE_PATH = "write it before the path, like postgres://user:password@host/name"
_REASONS = {
    **dict.fromkeys(("user", "password", "dbname"), _BEFORE_THE_PATH),
    "service": "set the parameters of that service here, since its file may change every other one",
    "client_encoding": "set it without. It is always UTF8",
    "replication": "set it without. A replication connection executes no SQL of modules",
}
_DJANGO = {"atomic_requests", "autocommit", "conn_max_age", "conn_health_checks", "disable_server_side_cursors", "pool"}


def is_set(name: str, value: str) -> bool:
    """Whether the parameter has a value; without one it is as if it were absent. Raises Misconfigured."""
    if name.lower() in _DJANGO:
        url.refuse_parameters([name], remedy="set it without. Connections follow DATABASE_CONNECTION_AGE")
    if name not in ALLOWED:
        url.refuse_parameters([name], remedy=_REASONS.get(name, f"set it without. Known are {', '.join(ALLOWED)}"))
    if not value:
        return False
    if expected := ALLOWED[name](value):
        raise Misconfigured(f"has {name} in its query with a value that it cannot have: set {expected}.")
    if name not in _known_to_libpq():
        version = psycopg.pq.version() // 10_000
        raise Misconfigured(f"has {name} in its query, which libpq {version} lacks: install psycopg[binary].")
    return True


def _known_to_libpq() -> set[str]:
    return {each.keyword.decode() for each in psycopg.pq.Conninfo.get_defaults()}
