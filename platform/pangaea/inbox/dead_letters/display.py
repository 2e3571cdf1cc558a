"""A parked message as a person reads it: JSON is indented, and characters that cannot be seen are escape sequences."""

import re
from itertools import accumulate

import msgspec

from pangaea.inbox.models import DeadLetter
from pangaea.text import escaped

DEPTH_AT_MOST = 32
"""Levels of brackets that are indented. Deeper JSON would grow by its depth on every line."""
PAGE_LENGTH = 100_000
"""Characters that a page shows. A message may have a mebibyte."""
_STEPS = {"[": 1, "{": 1, "]": -1, "}": -1}
_ID = re.compile(r'"correlationid":"([^"\\]{1,200})"')


def body_of(letter: DeadLetter, *, at_most: int | None = None) -> str:
    """The message, indented if it is JSON that is not nested too deeply. Of a longer one, `at_most` characters."""
    text = _indented(letter.body)
    shown = escaped(text[:at_most], lines=True)
    more = len(text) - (at_most or len(text))
    return shown if more <= 0 else f"{shown}\n… {more:,} more characters: see `manage.py deadletters show`"


def correlation_id_of(letter: DeadLetter) -> str:
    """The correlation id of the request that led to the message; empty if the message is not readable."""
    found = _ID.search(letter.body)
    return escaped(found.group(1)) if found else ""


def _indented(body: str) -> str:
    steps = (_STEPS.get(each, 0) for each in body)
    if max(accumulate(steps), default=0) > DEPTH_AT_MOST:
        return body
    try:
        return msgspec.json.format(body.encode(), indent=2).decode()
    except (msgspec.MsgspecError, RecursionError):
        return body
