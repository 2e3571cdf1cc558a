"""A virtual host of its own on a RabbitMQ server that is already there: queues have fixed names, runs must not meet."""

import json
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import httpx
from kombu.connection import Connection

from pangaea.testing.availability import Unavailable

if TYPE_CHECKING:
    from pangaea.settings.declared import Declared

DEFAULT_URL = "amqp://guest:guest@127.0.0.1:5672//"
DEFAULT_PORT = 5672
CONNECTION: Any = Connection  # kombu has no types
MANAGEMENT_PORT = 15672
ANSWER_SECONDS = 5.0
CONTROL_SECONDS = 60.0
REMEDY = (
    "install one (Debian: apt-get install rabbitmq-server; Docker: docker run -p 5672:5672 -p 15672:15672 "
    "rabbitmq:4-management) or set TEST_AMQP_URL"
)


@contextmanager
def module_users(declared: "Declared", url: str) -> Iterator[dict[str, str]]:
    """Hold a user with just its rights for every installed module, in the virtual host at `url`; gives their URLs.

    `declared` has a `broker_prefix` of the test's own, so that the users' names are free. They are removed afterwards.
    Raises Unavailable where nobody here may make users.
    """
    from pangaea import broker_rights, modules

    address = urlsplit(url)
    passwords = {label: secrets.token_hex(16) for label in modules.labels()}
    names = {label: broker_rights.user_of(declared, label) for label in passwords}
    administration = _administration(url)
    administration.define(
        broker_rights.definitions(
            declared, passwords, virtual_host=unquote(address.path.removeprefix("/")), passwords=passwords
        )
    )
    location = address.netloc.rpartition("@")[2]
    try:
        yield {
            label: f"{address.scheme}://{quote(name)}:{passwords[label]}@{location}{address.path}"
            for label, name in names.items()
        }
    finally:
        for name in names.values():
            administration.remove_user(name)


@contextmanager
def virtual_host(server_url: str) -> Iterator[str]:
    """Hold an empty virtual host on the server at `server_url`; gives its URL and removes it afterwards.

    A URL that names a virtual host other than `/` is used as it is: somebody made that one for the tests. Otherwise one
    is made by the management API on port 15672, or by `rabbitmqctl` where this account may. Raises Unavailable when
    nothing answers, or when neither works.
    """
    check(server_url)
    address = urlsplit(server_url)
    if unquote(address.path).strip("/"):
        yield server_url
        return
    name = f"pangaea-test-{secrets.token_hex(4)}"
    url = urlunsplit((address.scheme, address.netloc, f"/{name}", address.query, ""))
    administration = _administration(server_url)
    try:
        administration.make(name)
        check(url)
    except BaseException:
        # Interrupted or refused half way: what was made goes, and the first error counts.
        with suppress(Unavailable, httpx.HTTPError):
            administration.remove(name)
        raise
    try:
        yield url
    finally:
        administration.remove(name)


def wipe(url: str) -> None:
    """Remove a virtual host with all it holds, and make it anew: what a broker is after it lost its disk."""
    name = unquote(urlsplit(url).path).strip("/")
    administration = _administration(url)
    administration.remove(name)
    _administration(url).make(name)


def check(url: str) -> None:
    """Raise Unavailable when no broker accepts this URL."""
    connection: Any = CONNECTION(url, connect_timeout=ANSWER_SECONDS)
    try:
        connection.connect()
    except connection.connection_errors as error:
        address = urlsplit(url)
        where = f"{address.hostname}:{address.port or DEFAULT_PORT}"
        raise Unavailable(f"nothing usable answers at {where} ({error})") from error
    finally:
        connection.release()


class _Administration(Protocol):
    def make(self, name: str) -> None: ...

    def remove(self, name: str) -> None: ...

    def define(self, definitions: dict[str, Any]) -> None: ...

    def remove_user(self, name: str) -> None: ...


def _administration(server_url: str) -> _Administration:
    from pangaea import broker_rights
    from pangaea.errors import Misconfigured

    address = urlsplit(server_url)
    user = unquote(address.username or "guest")
    api = _Api(host=address.hostname or "127.0.0.1", user=user, password=unquote(address.password or "guest"))
    if api.answers():
        return api
    if address.hostname in {"127.0.0.1", "localhost", "::1"}:
        with suppress(Misconfigured):
            return _Control(program=broker_rights.control(), user=user)
    raise Unavailable(
        f"the server at {address.hostname} answers, but there is no way to administer it for the tests: neither a "
        f"management API on port {MANAGEMENT_PORT} nor rabbitmqctl; to need no more than a virtual host, name an empty "
        "one in TEST_AMQP_URL"
    )


class _Api:
    """The management plug-in's HTTP API."""

    def __init__(self, *, host: str, user: str, password: str) -> None:
        self._user = user
        self._client = httpx.Client(
            base_url=f"http://{host}:{MANAGEMENT_PORT}/api",
            auth=(user, password),
            timeout=ANSWER_SECONDS,
            trust_env=False,
        )

    def answers(self) -> bool:
        try:
            return self._client.get("/overview").status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    def make(self, name: str) -> None:
        self._client.put(f"/vhosts/{name}").raise_for_status()
        rights = {"configure": ".*", "write": ".*", "read": ".*"}
        self._client.put(f"/permissions/{name}/{self._user}", json=rights).raise_for_status()

    def remove(self, name: str) -> None:
        self._client.delete(f"/vhosts/{name}").raise_for_status()
        self._client.close()

    def define(self, definitions: dict[str, Any]) -> None:
        self._client.post("/definitions", json=definitions).raise_for_status()

    def remove_user(self, name: str) -> None:
        self._client.delete(f"/users/{name}").raise_for_status()


class _Control:
    """`rabbitmqctl` on the server's own machine, which needs the account of the server or root."""

    def __init__(self, *, program: str, user: str) -> None:
        self._program = program
        self._user = user

    def make(self, name: str) -> None:
        self._call("add_vhost", name)
        self._call("set_permissions", "-p", name, self._user, ".*", ".*", ".*")

    def remove(self, name: str) -> None:
        self._call("delete_vhost", name)

    def define(self, definitions: dict[str, Any]) -> None:
        from pangaea import broker_rights
        from pangaea.errors import Misconfigured

        try:
            broker_rights.apply(json.dumps(definitions))
        except Misconfigured as error:
            raise Unavailable(str(error)) from error

    def remove_user(self, name: str) -> None:
        self._call("delete_user", name)

    def _call(self, *arguments: str) -> None:
        done = subprocess.run(  # noqa: S603 - an administrator's program, with a name made here
            [self._program, *arguments], check=False, capture_output=True, text=True, timeout=CONTROL_SECONDS
        )
        if done.returncode:
            answer = (done.stderr or done.stdout).strip().splitlines()
            raise Unavailable(f"rabbitmqctl {arguments[0]} failed ({answer[-1] if answer else done.returncode})")
