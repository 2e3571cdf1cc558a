"""The rules for the text of a setting. A validator returns the problem of a text, or an empty string.

Problems are logged, so they never quote a secret. An empty text is judged only where the default is not empty.
"""

import os
import re
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path

from django.core.checks.security.base import SECRET_KEY_MIN_LENGTH, SECRET_KEY_MIN_UNIQUE_CHARACTERS

from pangaea.addresses import broker as broker_address
from pangaea.addresses import cache as cache_address
from pangaea.addresses import http, postgresql
from pangaea.configuration import values
from pangaea.credentials import keys, spiffe
from pangaea.errors import Misconfigured

Validator = Callable[[str], str]
"""Returns the problem and its remedy, as the rest of a sentence that begins with the variable; empty if valid."""

_HOST = r"(?:\*|\.?[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*|\[[0-9A-Fa-f:.]+\])"


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


def lasts(least: str, most: str, why: str) -> Validator:
    """A duration that is neither shorter nor longer."""
    shortest, longest = (values.parse(each, timedelta(seconds=1)) for each in (least, most))

    def problem(text: str) -> str:
        if shortest <= values.parse(text, shortest) <= longest:
            return ""
        return f"is {text}; set a duration from {least} to {most}: {why}."

    return problem


host = matches(_HOST, "has {}: give host names alone, like shop.example or .shop.example.")
"""A host name, wildcard or address without scheme, port and path, as in ALLOWED_HOSTS."""
exact_host = matches(rf"(?![.*]){_HOST}", "has {}: give each host by its name or address, like db.internal.")
listening_address = matches(rf"(?![\[*.]){_HOST}", "is {}; give an address, like 127.0.0.1.")
origin = matches(
    r"(?i:https?)://(\*\.)?[A-Za-z0-9._\[\]-]+(:\d+)?",
    "has {}: give origins, like https://shop.example, without a path.",
)
word = matches(r"\S+", "must be one word without spaces, like pangaea.")
queue_prefix = matches(r"[A-Za-z0-9._-]{0,100}", "is {}; use letters, digits, dots, dashes and underscores, like eu1.")
no_wildcard = matches(r"(?!\*$).*", "is {}, which lets any client forge links: name the hosts.")
shared_broker = matches(
    r"(amqps?|rediss?)://.*",
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


def parsed_by(parse: Callable[[str], object]) -> Validator:
    """A text that `parse` accepts. For any other text `parse` raises Misconfigured, without quoting a secret."""
    judge = address_of(parse)

    def problem(text: str) -> str:
        found = judge(text)
        return f"is wrong: {found}" if found else ""

    return problem


def address_of(parse: Callable[[str], object]) -> Validator:
    """A URL that this parser of `addresses` accepts. Its errors complete a sentence that begins with the variable."""

    def problem(text: str) -> str:
        try:
            parse(text)
        except Misconfigured as error:
            return str(error)
        return ""

    return problem


database = address_of(postgresql.parse)
broker = address_of(broker_address.parse)
cache = address_of(cache_address.parse)
page_origin = matches(
    r"(?:http://(?!.*:80$)|https://(?!.*:443$))(?:[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])(?::[1-9][0-9]{0,4})?",
    "has {}: give each origin as browsers send it, like https://shop.example or http://localhost:3000: in small "
    "letters, without a path, a wildcard or the scheme's own port.",
)
"""An origin, as in the header Origin (RFC 6454)."""
http_url = address_of(partial(http.parse, example="https://users.example/path"))


service_name = parsed_by(lambda text: spiffe.identity("pangaea.local", text))
trust_domain = parsed_by(lambda text: spiffe.identity(text, "any"))
signing_key = parsed_by(keys.parse)
