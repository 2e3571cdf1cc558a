"""The header Idempotency-Key, and the fingerprint that shows whether a repeat is the same request.

The practice of draft-ietf-httpapi-idempotency-key-header-07, which expired in April 2026: a String of structured fields
(RFC 9651, 3.3.3), `"8e03978e-…"`. A bare key is accepted too, as most clients send it: `abc` and `"abc"` are one key.
"""

import hmac
import json
import re
from typing import Any, cast

from django.conf import settings
from django.urls import ResolverMatch
from django.utils.crypto import salted_hmac
from rest_framework.exceptions import ParseError
from rest_framework.request import Request

HEADER = "Idempotency-Key"
MAX_LENGTH = 255
"""Characters of a key, without the quotes around it."""

_QUOTED = r'(?:[ !#-\[\]-~]|\\["\\])'
# A comma is what servers join repeated headers with, so only quoted keys have one.
_BARE = r"[!#-+\--~]"
PATTERN = rf'^(?:"{_QUOTED}{{1,{MAX_LENGTH}}}"|{_BARE}(?:(?:{_BARE}| ){{0,{MAX_LENGTH - 2}}}{_BARE})?)$'
"""The header's values, as a regular expression of Python and of JSON Schema (ECMA 262)."""


def key_of(request: Request, *, required: bool) -> str | None:
    """The request's key; None if it has none. Raises ParseError for a malformed key, and for a missing one."""
    header = request.META.get("HTTP_IDEMPOTENCY_KEY")
    if header is None:
        if required:
            text = f"Send a new {HEADER} with each new request, and the same one with each repeat: a UUID is best."
            raise ParseError(text, code="idempotency_key_missing")
        return None
    if not re.fullmatch(PATTERN, header):
        text = f"Send one {HEADER} of 1 to {MAX_LENGTH} printable ASCII characters, best a UUID in double quotes."
        raise ParseError(text, code="idempotency_key_malformed")
    return re.sub(r"\\(.)", r"\1", header[1:-1]) if header.startswith('"') else header


def content_of(request: Request) -> bytes:
    """What a repeat has in common with its first request: the arguments in the path, the query, and the body's value.

    The members of the body may come in another order, a whole number as 2.0, and an id in the path in another spelling.
    Reads the body.
    """
    match = cast("ResolverMatch", request.resolver_match)
    arguments = {name: str(value) for name, value in match.kwargs.items()}
    content = [arguments, request.META.get("QUERY_STRING", ""), _plain(request.data)]
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()


def fingerprint(content: bytes) -> str:
    """The content's HMAC: a reader of the table who does not have the SECRET_KEY cannot test guesses of a body."""
    return _hmac(content, settings.SECRET_KEY)


def is_of(content: bytes, stored: str) -> bool:
    """Whether the stored fingerprint is the content's, by SECRET_KEY or one of SECRET_KEY_FALLBACKS."""
    secrets = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    return any(hmac.compare_digest(_hmac(content, secret), stored) for secret in secrets)


def _plain(value: Any) -> Any:
    """The value with whole numbers as integers, as request bodies are validated."""
    match value:
        case dict():
            return {name: _plain(each) for name, each in value.items()}
        case list():
            return [_plain(each) for each in value]
        case float() if value.is_integer():
            return int(value)
    return value


def _hmac(content: bytes, secret: str | bytes) -> str:
    return salted_hmac("pangaea.idempotency", content, secret=secret, algorithm="sha256").hexdigest()
