"""One request as bytes over a socket of its own, and all that comes back: no client library corrects either."""

import io
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage, HTTPResponse
from typing import Any
from urllib.parse import urlsplit

TIMEOUT = 20.0
"""Seconds for the whole exchange, beyond the time for which the servers wait for a client's bytes."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole response. `head` are its status line and fields as they arrived."""

    status: int
    headers: HTTPMessage
    body: bytes
    head: bytes


def request(line: str, *fields: str, body: bytes = b"") -> bytes:
    """A request of HTTP/1.1 with a Host, after whose answer the connection ends; with a length if there is a body.

    A field that is given replaces the one of that name. A Host with the value `none` is left out.
    """
    line = line if line.count(" ") > 1 else f"{line} HTTP/1.1"
    names = {each.partition(":")[0].strip().lower() for each in fields}
    usual = {"Host": "<host>", "Connection": "close"}
    if body and "transfer-encoding" not in names:
        usual["Content-Length"] = str(len(body))
    added = [f"{name}: {value}" for name, value in usual.items() if name.lower() not in names]
    sent = [each for each in fields if each != "Host: none"]
    return "\r\n".join([line, *added, *sent, "", ""]).encode("latin-1") + body


def send(url: str, sent: bytes, *, trust: ssl.SSLContext | None = None) -> Answer:
    """The answer to these bytes. Raises AssertionError if there is no answer, or more than one."""
    address = urlsplit(url)
    method = sent.partition(b" ")[0].decode("latin-1")
    received = b""
    plain = socket.create_connection((address.hostname or "", address.port or 0), timeout=TIMEOUT)
    # Reset, where the server ended the connection with a part of the request unread.
    with (
        trust.wrap_socket(plain, server_hostname=address.hostname) if trust else plain as connection,
        suppress(ConnectionResetError),
    ):
        connection.sendall(sent)
        while part := connection.recv(65536):
            received += part
            if _is_complete(received, method):
                # A server that has refused a request waits a second for its client to end. The method of SSLSocket
                # would end the decryption too.
                socket.socket.shutdown(connection, socket.SHUT_WR)
    return _parsed(received, method)


def _is_complete(received: bytes, method: str) -> bool:
    try:
        answer = _parsed(received, method)
    except AssertionError:
        return False
    return method == "HEAD" or bool({"content-length", "transfer-encoding"} & {each.lower() for each in answer.headers})


def _parsed(received: bytes, method: str) -> Answer:
    replay: Any = _Replay(received)
    response = HTTPResponse(replay, method=method)
    try:
        response.begin()
        body = response.read()
    except HTTPException as error:
        raise AssertionError(f"This is no answer of HTTP: {received!r:.400}") from error
    assert replay.file.read() == b"", f"There is more than one answer: {received!r:.2000}"
    return Answer(response.status, response.headers, body, received.partition(b"\r\n\r\n")[0])


class _Replay:
    """Received bytes, as a socket from which http.client reads."""

    def __init__(self, received: bytes) -> None:
        self.file = _Open(received)

    def makefile(self, _mode: str) -> io.BytesIO:
        return self.file


class _Open(io.BytesIO):
    """Stays open, so that what follows the answer can be read."""

    def close(self) -> None:
        """Do nothing."""
