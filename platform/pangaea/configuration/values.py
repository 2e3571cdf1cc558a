"""The conversion of a setting's text to its value, by the type of the default, and back.

django-environ casts booleans, numbers and lists. It is too tolerant, so mistakes are refused before the cast: it reads
any text as a boolean, and accepts -1 and 1_000 as numbers.
"""

import re
from datetime import timedelta
from typing import Any

from environ import Env

from pangaea.configuration import characters

UNITS = {
    unit: timedelta(milliseconds=length)
    for unit, length in {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}.items()
}
MAX_DURATION = timedelta(days=3650)
"""No setting needs more, and a moment that far ahead is one that databases and calendars know."""
_BOOLEAN = re.compile(r"true|1|yes|on|false|0|no|off", re.IGNORECASE)
_NUMBER = re.compile(r"[0-9]{1,18}")
_DURATION = re.compile(r"([0-9]{1,8}(?:\.[0-9]{1,6})?)(ms|s|m|h|d)?")
"""Up to eight digits: more days would not fit into a timedelta."""


def parse(text: str, default: Any) -> Any:
    """The text as a value of the default's type.

    Raises ValueError, whose text completes "RELAY_BATCH …" and has a remedy.
    """
    word = text.strip()
    match default:
        case bool():
            if not _BOOLEAN.fullmatch(word):
                raise ValueError(f"is {text!r}; set true or false.")
            return Env.parse_value(word, bool)
        case int():
            number = Env.parse_value(word, int) if _NUMBER.fullmatch(word) else 0
            # Where the default is 0, which means "none", 0 is valid.
            if not number and word != str(default):
                raise ValueError(f"is {text!r}; set a whole number above 0, like {default or 8001}.")
            return number
        case timedelta():
            return _duration(word, default)
        case tuple():
            return _items(text)
        case str():
            if word and text.strip(" ") != text:
                raise ValueError("begins or ends with a space: remove it.")
            return text if word else ""
    raise TypeError(f"A default of the type {type(default).__name__} cannot be read from the environment.")


def _duration(word: str, default: timedelta) -> timedelta:
    found = _DURATION.fullmatch(word)
    length = float(found[1]) * UNITS[found[2] or "s"] if found else timedelta(0)
    if not length:
        units = ", ".join(UNITS)
        raise ValueError(f"is {word!r}; set a duration above 0 in {units} or bare seconds, like {text_of(default)}.")
    if length > MAX_DURATION:
        raise ValueError(f"is {word!r}; set a duration of at most {text_of(MAX_DURATION)}.")
    return length


def _items(text: str) -> tuple[str, ...]:
    items = tuple(filter(None, Env.parse_value(text, [str.strip])))
    if any(map(characters.is_quoted, items)):
        raise ValueError("has an item in quotation marks, which would be a part of it: set it without them.")
    return items


def text_of(value: Any) -> str:
    """The text that sets this value; a duration in the largest unit that gives a whole number."""
    match value:
        case bool():
            return str(value).lower()
        case timedelta():
            whole = (f"{value // of}{unit}" for unit, of in UNITS.items() if not value % of)
            return next(whole, f"{value.total_seconds():f}s")
        case tuple():
            return ",".join(value)
    return str(value)


def redacted(text: str) -> str:
    """The text with the passwords in its URLs, and what looks like a secret in their queries, replaced by `***`."""
    urls = re.split(r";(?=[a-z]+://)", text)
    return ";".join(map(_redacted, urls))


def _redacted(url: str) -> str:
    url = re.sub(r"(://[^:/@?]*:).*@", r"\1***@", url)
    return re.sub(r"([?&][^=&]*(?:pass|secret|token|key)[^=&]*=)[^&]*", r"\1***", url, flags=re.IGNORECASE)
