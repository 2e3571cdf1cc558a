"""What is checked and rewritten between gunicorn's parser and the application: the rules that the gateway has too.

So a request has the same answer with and without the gateway. Two spellings of a path are one path, and a service sees
no path that the gateway's rules did not.
"""

import io
import re
from typing import Any
from urllib.parse import unquote

from django.conf import settings
from gunicorn.http.errors import (
    InvalidHeader,
    InvalidRequestLine,
    LimitRequestHeaders,
    NoMoreData,
    UnsupportedTransferCoding,
)

from pangaea.api.request_limits import MAX_FIELDS
from pangaea.processes.web.refused_requests import BodyTooLarge, MalformedUrl

_ABSOLUTE = re.compile(r"https?://([^/?#]*)", re.IGNORECASE)
_ESCAPED = re.compile(r"%(2f|5c|00)", re.IGNORECASE)
_ESCAPED_DOT = re.compile(r"%2e", re.IGNORECASE)
_OF_GATEWAY = re.compile(r"X-ENVOY-.*|X-FORWARDED-(FOR|PROTO)|X-(REQUEST|CORRELATION)-ID")
_LIST = re.compile(r"[ \t]*,[ \t]*")


def check(request: Any) -> None:
    """Refuse or rewrite a request that gunicorn's parser has accepted. Raises the parser's exceptions."""
    # RFC 9110, 6.2: a later minor version is treated as the latest that is known. gunicorn would answer in it.
    request.version = min(request.version, (1, 1))
    if sum(not _OF_GATEWAY.fullmatch(name) for name, _ in request.headers) > MAX_FIELDS:
        raise LimitRequestHeaders("limit request headers fields")
    if any(name == "CONNECTION" and "close" in _LIST.split(value.lower()) for name, value in request.headers):
        request.force_close()
    if request.method == "CONNECT":
        raise InvalidRequestLine(request.uri)
    if any(name == "TRANSFER-ENCODING" and value.lower() != "chunked" for name, value in request.headers):
        raise UnsupportedTransferCoding("Transfer-Encoding")
    if "#" in request.uri or _ESCAPED.search(request.path):
        raise MalformedUrl(request.uri)
    request.path = normalized(request.path)
    _name_host(request)
    _measure(request)


def path_of(target: str) -> str:
    """The path that the application gets of a request with this target, if it accepts the request."""
    absolute = _ABSOLUTE.match(target)
    return unquote(normalized(target[absolute.end() if absolute else 0 :].partition("?")[0]))


def normalized(path: str) -> str:
    """The path without dot segments (RFC 3986, 6.2.2.3), and with slashes for backslashes. Slashes are not merged."""
    path = _ESCAPED_DOT.sub(".", path).replace("\\", "/")
    if "/." in path:
        _, *segments = path.split("/")
        left: list[str] = []
        for segment in segments:
            if segment == "..":
                del left[-1:]
            elif segment != ".":
                left.append(segment)
        if segments[-1] in {".", ".."}:
            left.append("")
        path = "/" + "/".join(left)
    return path


def _name_host(request: Any) -> None:
    """Take the host of an absolute address instead of the header's (RFC 9112, 3.2.2); refuse a request without one."""
    if absolute := _ABSOLUTE.match(request.uri):
        others = [(name, value) for name, value in request.headers if name != "HOST"]
        request.headers = [*others, ("HOST", absolute[1])]
    elif request.version == (1, 1) and not any(name == "HOST" for name, _ in request.headers):
        raise InvalidHeader("HOST")


def _measure(request: Any) -> None:
    """Replace a chunked body, which has arrived, by one of known length: Django reads no other."""
    if not any(name == "TRANSFER-ENCODING" for name, _ in request.headers):
        return
    try:
        body = request.body.read(settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1)
    except NoMoreData:
        # It was not gathered to its end, because it is too long.
        raise BodyTooLarge from None
    if len(body) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
        raise BodyTooLarge
    others = [(name, value) for name, value in request.headers if name != "TRANSFER-ENCODING"]
    request.headers = [*others, ("CONTENT-LENGTH", str(len(body)))]
    request.body = io.BytesIO(body)
