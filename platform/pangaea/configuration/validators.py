"""The rules for the text of a setting. A validator returns the problem of a text, or an empty string.

Problems are logged, so they never quote a secret. An empty text is judged only where the default is not empty.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from django.core.checks.security.base import SECRET_KEY_MIN_LENGTH, SECRET_KEY_MIN_UNIQUE_CHARACTERS

from pangaea.configuration import transport
from pangaea.credentials import keys, spiffe
from pangaea.errors import Misconfigured

Validator = Callable[[str], str]
"""Returns the problem and its remedy, as the rest of a sentence that begins with the variable; empty if valid."""

_HOST = r"(?:\*|\.?[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*|\[[0-9A-Fa-f:.]+\])"
_TLS_PARAMETER = re.compile(r"[?&](ssl_[a-z_]+|verify|ssl)(?==)", re.IGNORECASE)


def matches(pattern: str, remedy: str) -> Validator:
    """The whole text matches this pattern. `{}` in the remedy is replaced by the text."""
    return lambda text: "" if re.fullmatch(pattern, text) else remedy.format(repr(text))


def choice(*allowed: str) -> Validator:
    """One of these words."""
    return matches("|".join(allowed), "is {}; use one of " + f"{', '.join(allowed)}.")


def at_least(limit: int, why: str) -> Validator:
    """A number no less than this."""
    return lambda text: "" if int(text) >= limit else f"is {text}; it is at least {limit}: {why}."


def at_most(limit: int, why: str) -> Validator:
    """A number no greater than this."""
    return lambda text: "" if int(text) <= limit else f"is {text}; it is at most {limit}: {why}."


def url(*schemes: str, example: str, part: str = "hostname") -> Validator:
    """A URL of one of these schemes that has this part, and a numeric port if any. The problem never quotes it."""

    def problem(text: str) -> str:
        try:
            parts = urlsplit(text)
            _ = parts.port
        except ValueError:
            parts = urlsplit("")
        is_whole = parts.scheme in schemes and (getattr(parts, part) or "").strip("/")
        return "" if is_whole and re.fullmatch(r"\S+://\S*", text) else f"is malformed: set a URL like {example}."

    return problem


host = matches(_HOST, "has {}: give host names alone, like shop.example or .shop.example.")
"""A host name, wildcard or address without scheme, port and path, as in ALLOWED_HOSTS."""
exact_host = matches(rf"(?![.*]){_HOST}", "has {}: give each host by its name or address, like db.internal.")
listening_address = matches(rf"(?!\[){_HOST}", "is {}; give an address, like 127.0.0.1.")
origin = matches(
    r"(?i:https?)://(\*\.)?[A-Za-z0-9._\[\]-]+(:\d+)?",
    "has {}: give origins, like https://shop.example, without a path.",
)
http_url = url("http", "https", example="https://users.example/path")
word = matches(r"\S+", "must be one word without spaces, like pangaea.")
queue_prefix = matches(r"[A-Za-z0-9._-]{0,100}", "is {}; use letters, digits, dots, dashes and underscores, like eu1.")
no_wildcard = matches(r"(?!\*$).*", "is {}, which lets any client forge links: name the hosts.")
shared_broker = matches(
    r"(amqps?|rediss?|unix)://.*",
    "must be amqp(s):// or redis(s)://: other processes cannot reach a bus inside this one.",
)
broker_login = matches(r".+=[A-Za-z_][A-Za-z0-9_]*", "has {}: give a user and a module each, like shop=orders.")
"""A RabbitMQ user and a module's label."""


def random(text: str) -> str:
    """A key that cannot be guessed, by the rule of Django's check security.W009."""
    is_strong = len(text) >= SECRET_KEY_MIN_LENGTH and len(set(text)) >= SECRET_KEY_MIN_UNIQUE_CHARACTERS
    return "" if is_strong else "is short or repetitive: set 50 random characters or more."


def file_to_read(text: str) -> str:
    """The path of a readable file."""
    is_readable = os.access(text, os.R_OK) and Path(text).is_file()
    return "" if is_readable else f"is {text!r}, which cannot be read: give the path of a file."


_BROKER = url("amqp", "amqps", "redis", "rediss", example="amqps://user:password@host:5671//")


def broker(text: str) -> str:
    """The URL of a broker or of a bus inside this process, or the URLs of one cluster separated by semicolons."""
    if text.startswith(("memory://", "filesystem://", "unix://")):
        return ""
    urls = text.split(";")
    schemes = {each.partition("://")[0] for each in urls}
    if problem := next(filter(None, map(_BROKER, urls)), ""):
        return problem
    if any(scheme != scheme.lower() for scheme in schemes):
        return "has a scheme in capitals: set it in small letters, like amqps://."
    if len(schemes) > 1:
        return "has URLs of several schemes: set those of one cluster, all of one scheme."
    # kombu passes each of these parameters on: with some, connections fail; with others, no certificate is verified.
    if weakening := _TLS_PARAMETER.search(text):
        return f"has {weakening[1]} in its query: set it without. Certificates are verified, against BROKER_CA if set."
    has_query = any(urlsplit(each).query for each in urls)
    return "has a query: set it without; use the other BROKER_ variables instead." if has_query else ""


_POSTGRES = url(*transport.POSTGRESQL, example="postgres://user:password@host:5432/name", part="path")
# django-environ would make them Django's settings of the alias; the kernel's transactions rely on the defaults.
_DJANGO_PARAMETERS = {"atomic_requests", "autocommit", "conn_max_age", "conn_health_checks", "pool"}


def database(text: str) -> str:
    """The URL of a PostgreSQL database, or of an SQLite file.

    Pass only URLs that are valid here to django-environ: its warning of an unknown scheme quotes the password.
    """
    if problem := "" if text.startswith("sqlite://") else _POSTGRES(text):
        return problem
    found = [name for name in parse_qs(urlsplit(text).query) if name.lower() in _DJANGO_PARAMETERS]
    return f"has {found[0]} in its query: set it without. Connections follow DATABASE_CONNECTION_AGE." if found else ""


def parsed_by(parse: Callable[[str], object]) -> Validator:
    """A text that `parse` accepts. For any other text `parse` raises Misconfigured, without quoting a secret."""

    def problem(text: str) -> str:
        try:
            parse(text)
        except Misconfigured as error:
            return f"is wrong: {error}"
        return ""

    return problem


service_name = parsed_by(lambda text: spiffe.identity("pangaea.local", text))
trust_domain = parsed_by(lambda text: spiffe.identity(text, "any"))
signing_key = parsed_by(keys.parse)
