"""Identifiers that sort by their time of creation (RFC 9562, UUIDv7), so that indexes grow at one end.

An id is written as in RFC 9562, section 4: hexadecimal digits with hyphens. We write small letters and accept capitals.
The forms of other places (URNs, braces, no hyphens) are no spellings of it.
"""

import re
from datetime import datetime
from uuid import UUID

from uuid_utils.compat import uuid7 as _uuid7

PATTERN = "[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_SPELLING = re.compile(PATTERN)


def uuid7() -> UUID:
    """Create a time-ordered identifier, as the standard library's UUID."""
    return _uuid7()


def canonical(text: str) -> str:
    """An id in small letters; other text unchanged."""
    return text.lower() if _SPELLING.fullmatch(text) else text


class IdConverter:
    """The id in a path: `path("/<id:order_id>", …)`. Django's own `<uuid:…>` takes small letters alone."""

    regex = PATTERN

    def to_python(self, value: str) -> UUID:
        return UUID(value)

    def to_url(self, value: UUID | str) -> str:
        return str(value)


def uuid7_from(moment: datetime) -> UUID:
    """The lowest identifier that can be created at this moment: by it an index finds what was created later."""
    milliseconds = int(moment.timestamp() * 1000)
    return UUID(int=(milliseconds << 80) | (0x7 << 76) | (0b10 << 62))
