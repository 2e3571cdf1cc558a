"""The parser of request bodies."""

import json
from collections.abc import Mapping
from typing import IO, Any

import msgspec
from rest_framework import parsers
from rest_framework.exceptions import ParseError

from pangaea import text
from pangaea.api import encodings

MAX_DEPTH = 64
MAX_INTEGER = 2**63


class JSONParser(parsers.JSONParser):
    """JSON in UTF-8 (RFC 8259), strictly: no NaN, no lone surrogates, no overflowing numbers, no deep nesting.

    A name that occurs twice in an object is refused too (RFC 7493, 2.3): a proxy that uses the first occurrence would
    see a different request than a server that uses the last.

    An accepted value can be stored, forwarded and rendered. Any other body is answered with 400 `malformed_json`, and
    one that declares another encoding with 415.
    The class inherits from DRF's parser because DRF limits the size of the body for that class only.
    """

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        """The body's value. Raises ParseError and UnsupportedMediaType."""
        request = (parser_context or {}).get("request")
        if request is not None:
            encodings.refuse_foreign(request)
        try:
            body = stream.read()
            if foreign := encodings.foreign(body):
                raise _malformed(f"it is in {foreign}; send UTF-8 without a byte order mark")
            value = msgspec.json.decode(body)
            _refuse_unbounded(value)
            json.loads(body, object_pairs_hook=_refuse_duplicates)
        except UnicodeDecodeError:
            raise _malformed("it is not UTF-8") from None
        except RecursionError:
            raise _malformed("it is nested too deeply") from None
        except ValueError as error:
            raise _malformed(str(error).removeprefix("JSON is malformed: ")) from None
        return value


def _malformed(why: str) -> ParseError:
    return ParseError(f"The body is not valid JSON: {why}.", code="malformed_json")


def _refuse_duplicates(members: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in members:
        if name in found:
            shown = text.escaped(text.shortened(name))
            raise ValueError(f'an object has the member "{shown}" twice')
        found[name] = value
    return found


def _refuse_unbounded(value: Any, depth: int = 0) -> None:
    """Refuse integers beyond 64 bits, which columns and other languages cannot hold, and nesting beyond MAX_DEPTH."""
    if isinstance(value, dict | list):
        if depth == MAX_DEPTH:
            raise RecursionError
        for each in value.values() if isinstance(value, dict) else value:
            _refuse_unbounded(each, depth + 1)
    elif isinstance(value, int) and not -MAX_INTEGER <= value < MAX_INTEGER:
        raise ValueError("an integer has more than 64 bits")
