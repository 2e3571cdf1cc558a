"""One virtual host per run on a running RabbitMQ server: queues have fixed names, and runs must not share them."""

import json
import secrets
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from kombu.connection import Connection

from pangaea.addresses import broker
from pangaea.addresses.broker import Broker
from pangaea.broker.management_api import ENABLE, Management
from pangaea.errors import Misconfigured
from pangaea.servers.errors import Unavailable

if TYPE_CHECKING:
    from pangaea.configuration.declared import Declared

DEFAULT_URL = "amqp://guest:guest@127.0.0.1:5672//"
DEFAULT_PORT, DEFAULT_TLS_PORT = 5672, 5671
MANAGEMENT_OFFSET = 10_000
LOCAL = {"127.0.0.1", "localhost", "::1"}
CONNECTION: Any = Connection  # kombu has no types
ANSWER_TIMEOUT = 5.0
CONTROL_TIMEOUT = 60.0
REMEDY = (
    "install one (Debian: apt-get install rabbitmq-server, and rabbitmq-plugins enable rabbitmq_management, which "
    "spares root; Docker: docker run -p 5672:5672 -p 15672:15672 rabbitmq:4-management)"
)


@contextmanager
def module_users(declared: "Declared", url: str) -> Iterator[dict[str, str]]:
    """Hold one user per installed module, with that module's permissions only, in the virtual host at `url`.

    Gives their URLs by module. `declared` has a `broker_prefix` of the test's own, so that the users' names are free.
    They are removed afterwards. Raises Unavailable where this account may not create users.
    """
    from pangaea import modules
    from pangaea.broker import permissions

    address = urlsplit(url)
    passwords = {label: secrets.token_hex(16) for label in modules.labels()}
    names = {label: permissions.user_of(declared, label) for label in passwords}
    administration = _administration(url)
    administration.define(
        permissions.definitions(
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
        # All of them, even if one removal fails; side by side, because each starts a program where there is no API.
        with ThreadPoolExecutor() as pool:
            removals = [pool.submit(administration.remove_user, name) for name in names.values()]
        for each in removals:
            each.result()


@contextmanager
def virtual_host(server_url: str) -> Iterator[str]:
    """Hold an empty virtual host on the server at `server_url`; gives its URL and removes it afterwards.

    A URL that names a virtual host other than `/` is used unchanged: its virtual host was made for the tests. Otherwise
    a virtual host is made through the management API (see `management_url`), or by `rabbitmqctl` if this account may
    run it. Raises Unavailable if no server answers, or if neither way works.
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
        # Interrupted or refused half-way: the virtual host is removed, and the first error counts.
        with suppress(Unavailable):
            administration.remove(name)
        raise
    try:
        yield url
    finally:
        administration.remove(name)


def wipe(url: str) -> None:
    """Remove a virtual host with all its queues, and recreate it: the state of a broker that has lost its disk."""
    name = unquote(urlsplit(url).path).strip("/")
    administration = _administration(url)
    administration.remove(name)
    administration.make(name)


def address_of(url: str) -> Broker:
    """The server that the URL names. Raises Unavailable if it is not one of RabbitMQ."""
    try:
        address = broker.parse(url)
    except Misconfigured as error:
        raise Unavailable(f"its URL {error}") from None
    if not address.is_rabbitmq:
        raise Unavailable("its URL is malformed; it is one like amqp://user:password@host:5672//")
    return address


def check(url: str) -> None:
    """Raise Unavailable when no broker accepts this URL."""
    address = address_of(url)
    connection: Any = CONNECTION(address.for_kombu(), connect_timeout=ANSWER_TIMEOUT)
    try:
        connection.connect()
    # A refused account or virtual host is an error of the channel.
    except (*connection.connection_errors, *connection.channel_errors) as error:
        where = " and ".join(f"{each.host}:{each.port}" for each in address.servers)
        raise Unavailable(f"nothing usable answers at {where} ({error})") from error
    finally:
        connection.release()


def management_url(server_url: str) -> str:
    """The URL, by RabbitMQ's convention, of the management API of the AMQP server at `server_url`, with its account.

    Its port is the server's plus 10,000: 15672 for 5672, 15671 for 5671 (TLS), 15673 for a port published as 5673.
    """
    address = address_of(server_url)
    server = address.servers[0]
    host = f"[{server.host}]" if ":" in server.host else server.host
    account = f"{quote(server.user, safe='')}:{quote(server.password, safe='')}"
    return f"http{'s' * address.has_tls}://{account}@{host}:{int(server.port) + MANAGEMENT_OFFSET}"


class _Administration(Protocol):
    def make(self, name: str) -> None: ...

    def remove(self, name: str) -> None: ...

    def define(self, definitions: dict[str, Any]) -> None: ...

    def remove_user(self, name: str) -> None: ...


def _administration(server_url: str) -> _Administration:
    from pangaea.broker import permissions

    address = urlsplit(server_url)
    try:
        return _Api(management_url(server_url))
    except Misconfigured as error:
        reason = error
    # rabbitmqctl administers this machine's own server, and another port belongs to another server.
    if address.hostname in LOCAL and address.port in {None, DEFAULT_PORT, DEFAULT_TLS_PORT}:
        with suppress(Misconfigured):
            return _Control(program=permissions.control(), user=unquote(address.username or "guest"))
    raise Unavailable(
        f"the server at {address.hostname} answers, but this account cannot make virtual hosts there: {reason}"
    )


class _Api:
    """The management plug-in's HTTP API."""

    def __init__(self, url: str) -> None:
        """Raises Misconfigured where the API does not answer, or the account is no administrator."""
        self._url = url
        self._management = Management(url)
        who = self._management.call("GET", "whoami", seconds=ANSWER_TIMEOUT)
        if not isinstance(who, dict) or "administrator" not in who.get("tags", ()):
            raise Misconfigured(f"{self._management.user} is no administrator there.")

    def make(self, name: str) -> None:
        self._call("PUT", "vhosts", name)
        rights = {"configure": ".*", "write": ".*", "read": ".*"}
        self._call("PUT", "permissions", name, self._management.user, document=json.dumps(rights))

    def remove(self, name: str) -> None:
        self._call("DELETE", "vhosts", name)

    def define(self, definitions: dict[str, Any]) -> None:
        _apply(definitions, administrator=self._url)

    def remove_user(self, name: str) -> None:
        self._call("DELETE", "users", name)

    def _call(self, method: str, *path: str, document: str | None = None) -> None:
        try:
            self._management.call(method, *path, document=document)
        except Misconfigured as error:
            raise Unavailable(str(error)) from error


class _Control:
    """`rabbitmqctl` on the server's own machine. It must run as the server's account or as root."""

    def __init__(self, *, program: str, user: str) -> None:
        self._program = program
        self._user = user

    def make(self, name: str) -> None:
        self._call("add_vhost", name)
        self._call("set_permissions", "-p", name, self._user, ".*", ".*", ".*")

    def remove(self, name: str) -> None:
        self._call("delete_vhost", name)

    def define(self, definitions: dict[str, Any]) -> None:
        _apply(definitions)

    def remove_user(self, name: str) -> None:
        self._call("delete_user", name)

    def _call(self, *arguments: str) -> None:
        from pangaea.broker import permissions

        done = subprocess.run(  # noqa: S603 - an administrator's program, with a name made here
            [self._program, *arguments], check=False, capture_output=True, text=True, timeout=CONTROL_TIMEOUT
        )
        if done.returncode:
            last = permissions.complaint(done).splitlines()[-1]
            raise Unavailable(
                f"rabbitmqctl {arguments[0]} failed ({last}); without root this needs the management API: {ENABLE}"
            )


def _apply(definitions: dict[str, Any], *, administrator: str | None = None) -> None:
    from pangaea.broker import permissions

    try:
        permissions.apply(json.dumps(definitions), administrator=administrator)
    except Misconfigured as error:
        raise Unavailable(str(error)) from error
