"""What the text of a setting must look like. Each form is a function: what is wrong with the text, or nothing.

A form never quotes the text of a secret: what it returns goes to logs. Empty text is nobody's concern here.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from pangaea.credentials import spiffe
from pangaea.errors import Misconfigured

Form = Callable[[str], str]
"""Completes the sentence "RELAY_BATCH …", says what to set instead; empty if all is well."""

_HOST = re.compile(r"\*|\.?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*|\[[0-9A-Fa-f:.]+\]")
_ORIGIN = re.compile(r"https?://(\*\.)?[A-Za-z0-9._\[\]-]+(:\d+)?", re.IGNORECASE)
_TLS_PARAMETER = re.compile(r"[?&](ssl_[a-z_]+|verify|ssl)(?==)", re.IGNORECASE)
_PREFIX = re.compile(r"[A-Za-z0-9._-]{0,100}")


def choice(*allowed: str) -> Form:
    """One of these words."""

    def wrong(text: str) -> str:
        return "" if text in allowed else f"is {text!r}; use one of {', '.join(allowed)}."

    return wrong


def at_least(limit: int, why: str) -> Form:
    """A number no less than this."""
    return lambda text: "" if int(text) >= limit else f"is {text}; it is at least {limit}: {why}."


def at_most(limit: int, why: str) -> Form:
    """A number no greater than this."""
    return lambda text: "" if int(text) <= limit else f"is {text}; it is at most {limit}: {why}."


def url(*schemes: str, example: str, part: str = "hostname") -> Form:
    """A URL of one of these schemes that has this part; a port is a number. Nothing of it is quoted."""

    def wrong(text: str) -> str:
        parts = _split(text)
        well = parts is not None and parts.scheme in schemes and bool((getattr(parts, part) or "").strip("/"))
        return "" if well else f"is malformed: set a URL like {example}."

    return wrong


def host(text: str) -> str:
    """A host name or address without scheme, port and path, as ALLOWED_HOSTS has them."""
    return "" if _HOST.fullmatch(text) else f"has {text!r}: give host names alone, like shop.example or .shop.example."


def exact_host(text: str) -> str:
    """One host's name or address, without a wildcard."""
    well = _HOST.fullmatch(text) and not text.startswith((".", "*"))
    return "" if well else f"has {text!r}: give each host by its name or address, like db.internal."


def origin(text: str) -> str:
    """Scheme and host, without a path."""
    return "" if _ORIGIN.fullmatch(text) else f"has {text!r}: give origins, like https://shop.example, without a path."


def word(text: str) -> str:
    """Something without spaces."""
    return "" if text and not re.search(r"\s", text) else "must be one word without spaces, like pangaea."


def queue_prefix(text: str) -> str:
    """What may stand in the name of a queue everywhere."""
    return (
        "" if _PREFIX.fullmatch(text) else f"is {text!r}; use letters, digits, dots, dashes and underscores, like eu1."
    )


def broker_login(text: str) -> str:
    """A user of RabbitMQ and a module."""
    login, _, module = text.rpartition("=")
    return "" if login and module.isidentifier() else f"has {text!r}: give a user and a module each, like shop=orders."


def listening_address(text: str) -> str:
    """An IPv4 address of this machine, or a name for one."""
    return "" if _HOST.fullmatch(text) and ":" not in text else f"is {text!r}; give an address, like 127.0.0.1."


def file_to_read(text: str) -> str:
    """The path of a file that is there."""
    return (
        ""
        if os.access(text, os.R_OK) and Path(text).is_file()
        else f"is {text!r}, which cannot be read: give the path of a file."
    )


def broker(text: str) -> str:
    """One URL of a broker, or several of one cluster with semicolons between; or a bus inside this process."""
    if text.startswith(("memory://", "filesystem://", "unix://")):
        return ""
    parts = text.split(";")
    one = url("amqp", "amqps", "redis", "rediss", example="amqps://user:password@host:5671//")
    if wrong := next((found for part in parts if (found := one(part))), ""):
        return wrong
    if any(scheme != scheme.lower() for scheme in (part.partition("://")[0] for part in parts)):
        return "has a scheme in capitals: set it in small letters, like amqps://."
    if len({part.partition("://")[0] for part in parts}) > 1:
        return "has URLs of several schemes: set those of one cluster, all of one scheme."
    # kombu would take each as an argument of its own: of some connections fail, of others the certificate is ignored.
    if weakening := _TLS_PARAMETER.search(text):
        return f"has {weakening[1]} in its query: set it without. Certificates are verified, against BROKER_CA if set."
    return "has a query: set it without; other variables say the rest." if any(map(_has_query, parts)) else ""


DATABASE_EXAMPLE = "postgres://user:password@host:5432/name"
_POSTGRES = url("postgres", "postgresql", "pgsql", "psql", example=DATABASE_EXAMPLE, part="path")


def database(text: str) -> str:
    """The URL of a PostgreSQL database, or of an SQLite file."""
    return "" if text.startswith("sqlite://") else _POSTGRES(text)


def service_name(text: str) -> str:
    """A SPIFFE id, or a name that can end one."""
    return _spiffe_problem("pangaea.local", text)


def trust_domain(text: str) -> str:
    """What may stand between `spiffe://` and a name."""
    return _spiffe_problem(text, "any")


def _spiffe_problem(domain: str, name: str) -> str:
    try:
        spiffe.identity(domain, name)
    except Misconfigured as error:
        return f"is wrong: {error}"
    return ""


def signing_key(text: str) -> str:
    """One or more EC P-256 keys, as PEM, a JWK or a JWK set; the first is private."""
    from pangaea.credentials import keys

    return keys.problem(text)


http_url = url("http", "https", example="https://users.example/path")


def redacted(text: str) -> str:
    """The text with the passwords in its URLs, and what looks like a secret in their queries, replaced by `***`."""
    text = re.sub(r"(://[^:/@;?]*:)[^;]*@", r"\1***@", text)
    return re.sub(r"([?&][^=&;]*(?:pass|secret|token|key)[^=&;]*=)[^&;]*", r"\1***", text, flags=re.IGNORECASE)


def _has_query(text: str) -> bool:
    return bool(urlsplit(text).query)


def _split(text: str) -> SplitResult | None:
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        return None
    return None if re.search(r"\s", text) or "://" not in text else parts
