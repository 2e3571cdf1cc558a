"""The settings that a session begins with, in libpq's parameter `options`: `-c statement_timeout=5000`.

A URL's own settings are in force beside those of the kernel, except those that it relies on.
"""

import re
from collections.abc import Mapping

from pangaea.errors import Misconfigured

_ISOLATION = "the kernel's locks need READ COMMITTED"
_WRITES = "the kernel writes in every session"
_DRIVER = "Django and psycopg set it"
RESERVED = {
    "search_path": "it is each module's schema",
    "role": "it is each module's role",
    "session_authorization": "it is each module's role",
    "default_transaction_isolation": _ISOLATION,
    "transaction_isolation": _ISOLATION,
    "default_transaction_read_only": _WRITES,
    "transaction_read_only": _WRITES,
    "session_replication_role": "triggers write captured changes",
    "client_encoding": _DRIVER,
    "timezone": _DRIVER,
    "datestyle": _DRIVER,
    "intervalstyle": _DRIVER,
    "standard_conforming_strings": _DRIVER,
}
"""Settings of PostgreSQL that the kernel relies on, each with the reason."""
_WORD = re.compile(r"(?:\\.|[^\s\\])+", re.DOTALL)
_SETTING = re.compile(r"([A-Za-z_][A-Za-z0-9_.-]{0,62})=(.*)", re.DOTALL)


def parse(text: str) -> dict[str, str]:
    """The settings by name. As PostgreSQL reads them, a backslash escapes a space. Raises Misconfigured."""
    found: dict[str, str] = {}
    if re.sub(_WORD, "", text).strip():
        raise Misconfigured("has options that end with a backslash: set them without.")
    words = iter(_WORD.findall(text))
    for word in words:
        if word.startswith("--"):
            setting = word[2:]
        elif word.startswith("-c"):
            setting = word[2:] or next(words, "")
        else:
            setting = ""
        parts = _SETTING.fullmatch(re.sub(r"\\(.)", r"\1", setting, flags=re.DOTALL))
        if not parts:
            raise Misconfigured("has options other than settings: write each as -c NAME=VALUE, with %20 for a space.")
        name = parts[1].lower().replace("-", "_")
        if reason := RESERVED.get(name):
            raise Misconfigured(f"sets {name} in its options: set it without, since {reason}.")
        found[name] = parts[2]
    return found


def text_of(settings: Mapping[str, str]) -> str:
    """The parameter that sets these."""
    return " ".join(f"-c {name}={escaped(str(value))}" for name, value in settings.items())


def escaped(value: str) -> str:
    """The value with a backslash before each space and backslash, as PostgreSQL reads it."""
    return re.sub(r"([\s\\])", r"\\\1", value)
