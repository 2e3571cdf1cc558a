"""A setting's value from its text, by the type of its default, and the text from the value.

django-environ casts. What it would accept although it is a mistake is refused before: for it any text is a boolean, a
number may be -1 or 1_000, parentheses around a list vanish and blanks in it stay.
"""

import re
from datetime import timedelta
from typing import Any

from environ import Env

UNITS = {
    unit: timedelta(milliseconds=length)
    for unit, length in {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}.items()
}
_BOOLEAN = re.compile(r"true|1|yes|on|false|0|no|off", re.IGNORECASE)
_NUMBER = re.compile(r"[0-9]{1,18}")
_DURATION = re.compile(r"([0-9]{1,8}(?:\.[0-9]{1,6})?)(ms|s|m|h|d)?")
"""Up to eight digits, of which even days are a timedelta."""


def parse(text: str, default: Any) -> Any:
    """The text as a value of the default's type. Raises ValueError, which completes "RELAY_BATCH …" with a remedy."""
    word = text.strip()
    match default:
        case bool():
            if not _BOOLEAN.fullmatch(word):
                raise ValueError(f"is {text!r}; set true or false.")
            return Env.parse_value(word, bool)
        case int():
            number = Env.parse_value(word, int) if _NUMBER.fullmatch(word) else 0
            # A default of 0 means "none", which may be set too.
            if not number and word != str(default):
                raise ValueError(f"is {text!r}; set a whole number above 0, like {default or 8001}.")
            return number
        case timedelta():
            found = _DURATION.fullmatch(word)
            length = float(found[1]) * UNITS[found[2] or "s"] if found else timedelta(0)
            if not length:
                units = ", ".join(UNITS)
                raise ValueError(
                    f"is {text!r}; set a duration above 0 in {units} or bare seconds, like {text_of(default)}."
                )
            return length
        case tuple():
            return tuple(filter(None, Env.parse_value(text, [str.strip])))
        case str():
            return text if word else ""
    raise TypeError(f"A default of the type {type(default).__name__} cannot be read from the environment.")


def text_of(value: Any) -> str:
    """The text that a variable would be set to; a duration in the largest unit of which it is a whole number."""
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
    text = re.sub(r"(://[^:/@;?]*:)[^;]*@", r"\1***@", text)
    return re.sub(r"([?&][^=&;]*(?:pass|secret|token|key)[^=&;]*=)[^&;]*", r"\1***", text, flags=re.IGNORECASE)
