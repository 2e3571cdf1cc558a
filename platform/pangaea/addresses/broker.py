"""The address of a broker: RabbitMQ's servers, a Redis server, or the bus inside this process."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

from pangaea.addresses import url
from pangaea.errors import Misconfigured

DEFAULT_PORTS = {"amqp": "5672", "amqps": "5671", "redis": "6379", "rediss": "6379"}
RABBITMQ = ("amqp", "amqps")
REDIS = ("redis", "rediss")
IN_PROCESS = "memory"
SCHEMES = (*RABBITMQ, *REDIS, IN_PROCESS)
_MAX_SHORT_TEXT = 255
"""The most bytes of a name in AMQP 0-9-1."""
_EXAMPLE = "amqps://user:password@host:5671//"
_OTHERS = {
    "sentinel": "is for Redis Sentinel, which is not supported: set the address of the server, rediss://…",
    "filesystem": "is for a bus in a folder, which is not supported: set amqps://… or rediss://…",
    "unix": "is for a socket of Redis, which is not supported: set redis://localhost/0",
    "redis+socket": "is for a socket of Redis, which is not supported: set redis://localhost/0",
    "pyamqp": "names a client and not a protocol: set amqp://… or amqps://…",
    "sqs": "is for Amazon SQS, which is not supported: set amqps://… or rediss://…",
}
"""Schemes that Celery knows, and why they are refused."""
_TLS_PARAMETER = re.compile(r"ssl(_[a-z_]+)?|verify", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Server:
    """One server, and the login there, which Redis may do without."""

    host: str
    port: str
    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Broker:
    """A broker: one server, or those of one cluster, which are tried in turn."""

    scheme: str
    servers: tuple[Server, ...] = ()
    space: str = ""
    """RabbitMQ's virtual host, or the number of Redis's database."""

    @property
    def is_rabbitmq(self) -> bool:
        return self.scheme in RABBITMQ

    @property
    def is_redis(self) -> bool:
        return self.scheme in REDIS

    @property
    def is_in_process(self) -> bool:
        return self.scheme == IN_PROCESS

    @property
    def has_tls(self) -> bool:
        return self.scheme in {"amqps", "rediss"}

    def for_kombu(self) -> str:
        """The URL for kombu, in which each part is spelled in one way.

        Nothing is left to a default: for the next server of a cluster, kombu would take a missing part from the first.
        """
        if self.is_in_process:
            return f"{IN_PROCESS}://localhost/"
        return ";".join(f"{self.scheme}://{_authority(each)}/{quote(self.space, safe='')}" for each in self.servers)


def parse(text: str) -> Broker:
    """The broker that a URL names; several URLs of one cluster are separated by `;`. Raises Misconfigured."""
    texts = text.split(";")
    if len(texts) > 1 and not all("://" in each for each in texts):
        raise Misconfigured("is malformed: after a ; is no URL. In a user or a password write %3B for ;.")
    found = [single(each) for each in texts]
    first = found[0]
    if any(each.scheme != first.scheme for each in found):
        raise Misconfigured("has URLs of several schemes: set those of one cluster, all of one scheme.")
    if any(each.space != first.space for each in found):
        raise Misconfigured("has URLs that end differently: set those of one cluster, with the same path.")
    servers = tuple(server for each in found for server in each.servers)
    if len({bool(each.user or each.password) for each in servers}) > 1:
        raise Misconfigured("has URLs with a login and URLs without: write the login into each.")
    return Broker(scheme=first.scheme, servers=servers, space=first.space)


def single(text: str, *, schemes: Sequence[str] = SCHEMES, example: str = _EXAMPLE) -> Broker:
    """The server that one URL names, of one of these schemes, like the example. Raises Misconfigured."""
    scheme = text.partition("://")[0]
    if reason := _OTHERS.get(scheme.lower()):
        raise Misconfigured(f"{reason}.")
    parts = url.split(text, schemes=schemes, example=example)
    _refuse(url.parameters_of(parts.query))
    if len(parts.hosts) > 1:
        raise Misconfigured("has several hosts in one URL: write a whole URL for each, separated by ;.")
    (host, port), *_ = parts.hosts
    if scheme == IN_PROCESS:
        if host not in {"", "localhost"} or port or parts.user or parts.path:
            raise Misconfigured("names a server for the bus inside this process: set memory://localhost/.")
        return Broker(scheme=scheme)
    if not url.is_host(host):
        raise Misconfigured(f"is malformed: it names no host, or one that cannot be. Set a URL like {example}.")
    default = "guest" if scheme in RABBITMQ else ""
    server = Server(
        host=host,
        port=port or DEFAULT_PORTS[scheme],
        user=parts.user or default,
        password=default if parts.password is None else parts.password,
    )
    space = _virtual_host(parts.path) if scheme in RABBITMQ else _database(parts.path)
    if max(len(each.encode()) for each in (parts.user, space)) > _MAX_SHORT_TEXT:
        raise Misconfigured(f"has a user or a virtual host of more than {_MAX_SHORT_TEXT} bytes: use a shorter name.")
    return Broker(scheme=scheme, servers=(server,), space=space)


def _refuse(parameters: Mapping[str, str]) -> None:
    weakening = [each for each in parameters if _TLS_PARAMETER.fullmatch(each)]
    url.refuse_parameters(weakening, remedy="set it without. Certificates are verified, against BROKER_CA if set")
    url.refuse_parameters(parameters, remedy="set the URL without a query; use the other BROKER_ variables instead")


def _virtual_host(path: str) -> str:
    return url.decoded(path) or "/"


def _database(path: str) -> str:
    number = path or "0"
    if not re.fullmatch(r"[0-9]{1,5}", number):
        raise Misconfigured("is malformed: after Redis's host is the number of a database, like rediss://host:6379/0.")
    return str(int(number))


def _authority(server: Server) -> str:
    login = f"{quote(server.user, safe='')}:{quote(server.password, safe='')}"
    host = f"[{server.host}]" if ":" in server.host else server.host
    return f"{login}@{host}:{server.port}" if login != ":" else f"{host}:{server.port}"
