"""How the bytes of a body are encoded: UTF-8 without a content coding, and nothing else is ever decoded."""

import json
import re
from typing import Final

from rest_framework.exceptions import UnsupportedMediaType
from rest_framework.request import Request

DECLARED_CONTENT_TYPE: Final = "pangaea.content_type"
"""The key of the WSGI environ that has the Content-Type as the client sent it; Django gets it without a charset."""
UTF8: Final = frozenset({"utf-8", "utf8", "us-ascii"})
"""Charsets whose texts are UTF-8."""
_CHARSET = re.compile(r';\s*charset\s*=\s*"?([^";]*)', re.IGNORECASE)
_NAMES: Final = {"utf-8-sig": "UTF-8 with a byte order mark"}


class UnsupportedContentCoding(UnsupportedMediaType):
    """The Content-Encoding is none that this server decodes. Send the body without one."""


class UnsupportedCharset(UnsupportedMediaType):
    """The Content-Type has a charset other than UTF-8. Send JSON in UTF-8, for which no charset is needed."""


def refuse_foreign(request: Request) -> None:
    """Raise for a request whose headers declare that its body is compressed, or in another charset than UTF-8."""
    codings = {each.strip().lower() for each in request.headers.get("Content-Encoding", "").split(",")}
    if not codings <= {"", "identity"}:
        raise UnsupportedContentCoding("")
    content_type = request.META.get(DECLARED_CONTENT_TYPE) or request.content_type or ""
    charsets = {each.strip().lower() for each in _CHARSET.findall(content_type)}
    if not charsets <= UTF8:
        raise UnsupportedCharset("")


def foreign(body: bytes) -> str:
    """The name of the encoding of a body that is in UTF-16 or UTF-32, or begins with a byte order mark; else empty."""
    found = json.detect_encoding(body)
    return "" if found == "utf-8" else _NAMES.get(found, found.upper())
