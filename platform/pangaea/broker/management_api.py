"""RabbitMQ's management API (its plug-in `rabbitmq_management`), for an administrator's tasks.

It needs no account on the server's machine. rabbitmqctl needs root's account there, or the server's own.
"""

import base64
import json
import ssl
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import quote

from pangaea.addresses import http
from pangaea.errors import Misconfigured

FORM = "http(s)://USER:PASSWORD@HOST:15672"
_EXPECTED = f"{FORM}, with %2F for a slash in the password and the like."
ENABLE = "rabbitmq-plugins enable rabbitmq_management"
ANSWER_TIMEOUT = 60.0
"""Seconds for one answer. It is long, because deleting a virtual host deletes its queues."""
MAX_ANSWER_BYTES = 16 * 1024 * 1024
"""The definitions of a whole server may be long."""


class Management:
    """One server's API, used as the administrator whom the URL names. No error quotes the password.

    It uses no proxy and follows no redirect: the password is for the URL's address only.
    """

    def __init__(self, url: str, *, authorities: str = "") -> None:
        """`authorities` is a PEM file with the certificate authorities for https; without it, the system's are used.

        Raises Misconfigured if `url` does not have the form http(s)://USER:PASSWORD@HOST:PORT.
        """
        try:
            address = http.parse(url, example=FORM, login=True)
        except Misconfigured as error:
            raise Misconfigured(f"The URL of RabbitMQ's management API {error}") from None
        self.user = address.user
        self._address = address.location
        self._prefix = f"{address.path.rstrip('/')}/api"
        self._authorities = authorities or None
        self._is_secured = address.is_secured
        self._host, self._port = address.host, address.port
        secret = base64.b64encode(f"{self.user}:{address.password}".encode()).decode()
        self._headers = {"Authorization": f"Basic {secret}", "Accept": "application/json"}

    def call(self, method: str, *path: str, document: str | None = None, seconds: float = ANSWER_TIMEOUT) -> Any:
        """Send a request, with a JSON document if one is given. Returns the JSON of the answer, or None.

        `path` has the unquoted segments after /api. Raises Misconfigured, with a remedy, if the server does not answer
        or refuses the request.
        """
        try:
            status, body = self._send(method, "/".join(quote(part, safe="") for part in path), document, seconds)
        except (OSError, HTTPException, UnicodeError) as error:
            # The error for an answer that is not HTTP quotes the answer, which may not be readable text.
            reason = (str(error) if isinstance(error, OSError) else "") or type(error).__name__
            if isinstance(error, ssl.SSLCertVerificationError):
                reason += "; BROKER_CA names a file with authorities of your own"
            raise Misconfigured(
                f"RabbitMQ's management API does not answer at {self._address} ({reason}). "
                f"Is it enabled ({ENABLE}), and is this its port (15672, where AMQP's is 5672)?"
            ) from error
        answer = _parsed(body)
        if status in {HTTPStatus.OK, HTTPStatus.CREATED, HTTPStatus.NO_CONTENT}:
            return answer
        refusal = answer.get("reason") if isinstance(answer, dict) else None
        if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            raise Misconfigured(
                f"RabbitMQ at {self._address} refuses {self.user} ({refusal or status}). Check the password; the "
                f"user needs the tag administrator (rabbitmqctl set_user_tags {self.user} administrator), and guest "
                "may log in from the server's own machine alone."
            )
        request = f"{method} {self._prefix}/{'/'.join(path)}"
        if refusal is None:
            raise Misconfigured(
                f"The server at {self._address} is not RabbitMQ's management API: {status} to {request}. {_EXPECTED}"
            )
        raise Misconfigured(f"RabbitMQ at {self._address} refused {request} ({status}): {refusal}")

    def _send(self, method: str, path: str, document: str | None, seconds: float) -> tuple[int, bytes]:
        connection = HTTPConnection(self._host, self._port, timeout=seconds)
        if self._is_secured:
            context = ssl.create_default_context(cafile=self._authorities)
            connection = HTTPSConnection(self._host, self._port, timeout=seconds, context=context)
        try:
            body = None if document is None else document.encode()
            headers = self._headers if body is None else {**self._headers, "Content-Type": "application/json"}
            connection.request(method, f"{self._prefix}/{path}", body=body, headers=headers)
            response = connection.getresponse()
            return response.status, response.read(MAX_ANSWER_BYTES)
        finally:
            connection.close()


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None
