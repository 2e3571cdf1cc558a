"""The address of a PostgreSQL database."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pangaea.addresses import options, parameters, url
from pangaea.errors import Misconfigured

SCHEMES = ("postgres", "postgresql", "pgsql", "psql")
MAX_NAME_BYTES = 63
"""PostgreSQL cuts longer names (NAMEDATALEN), so that two of them may become one."""
_EXAMPLE = "postgres://user:password@host:5432/name"


@dataclass(frozen=True, kw_only=True)
class PostgreSQL:
    """A database, its login, and how to reach it. Where a part is empty, libpq's variables or defaults apply."""

    user: str = ""
    password: str = field(default="", repr=False)
    hosts: tuple[str, ...] = ()
    """Names, addresses, or folders of a Unix socket. libpq tries them in order."""
    ports: tuple[str, ...] = ()
    """None, one for all hosts, or one per host."""
    database: str
    parameters: Mapping[str, str] = field(default_factory=dict, repr=False)
    """libpq's further parameters."""
    options: Mapping[str, str] = field(default_factory=dict)
    """The server's settings for each session, by name."""

    @property
    def host(self) -> str:
        """The hosts as one parameter of libpq."""
        return ",".join(self.hosts)

    @property
    def port(self) -> str:
        """The ports as one parameter of libpq."""
        return ",".join(self.ports)

    def libpq(self) -> dict[str, Any]:
        """All of it as parameters for psycopg."""
        own = {"host": self.host, "port": self.port, "dbname": self.database, "user": self.user}
        own |= {"password": self.password, "options": options.text_of(self.options)}
        return {name: value for name, value in own.items() if value} | dict(self.parameters)


def parse(text: str) -> PostgreSQL:
    """The address that a URL names. Raises Misconfigured."""
    parts = url.split(text, schemes=SCHEMES, example=_EXAMPLE)
    given = url.parameters_of(parts.query)
    found = {name: value for name, value in given.items() if parameters.is_set(name, value)}
    hosts, ports = _servers(parts.hosts, found)
    return PostgreSQL(
        user=_name(parts.user, "login"),
        password=parts.password or "",
        hosts=hosts,
        ports=ports,
        database=_database(parts.path),
        options=options.parse(found.pop("options", "")),
        parameters=found,
    )


def _servers(hosts: tuple[tuple[str, str], ...], found: dict[str, str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The hosts and ports, of which the query may have those that are not before the path."""
    names = _one_of(tuple(host for host, _ in hosts), "host", found)
    ports = _one_of(tuple(port for _, port in hosts), "port", found)
    for problem in filter(None, map(url.port_problem, ports)):
        raise Misconfigured(problem)
    for host in names:
        if not url.is_host(host) and not re.fullmatch(r"[/@][^,]+", host):
            raise Misconfigured("is malformed: a host is no name, no address and no folder of a socket (%2Frun).")
    addresses = found["hostaddr"].split(",") if "hostaddr" in found else []
    if addresses and names and len(addresses) != len(names):
        raise Misconfigured("has another number of addresses in hostaddr than of hosts: give one for each.")
    if len(ports) > 1 and len(ports) != max(len(names), len(addresses)):
        raise Misconfigured("has another number of ports than of hosts: give one for each, or one for all.")
    return names, ports


def _one_of(before_path: tuple[str, ...], name: str, found: dict[str, str]) -> tuple[str, ...]:
    """The values that are before the path, or in the query; an empty tuple if all are empty."""
    in_query = found.pop(name, "")
    if any(before_path) and in_query:
        raise Misconfigured(f"has {name} in its query and before its path: keep one of them.")
    values = before_path if any(before_path) else tuple(in_query.split(","))
    return values if any(values) else ()


def _database(path: str) -> str:
    name = url.decoded(path)
    if not name:
        raise Misconfigured(f"is malformed: it names no database. Set a URL like {_EXAMPLE}.")
    if "/" in path:
        raise Misconfigured(
            "is malformed: a / follows the database's name. Write %2F in a name, ?host=/run/postgresql for a socket."
        )
    # psql and pg_dump would read it as a list of parameters, or as a URL.
    if "=" in name or "://" in name:
        raise Misconfigured("names a database with = or :// in its name, which clients misread: give it another name.")
    return _name(name, "database")


def _name(name: str, what: str) -> str:
    if (size := len(name.encode())) > MAX_NAME_BYTES:
        raise Misconfigured(
            f"names a {what} of {size} bytes, and PostgreSQL cuts names after {MAX_NAME_BYTES}: use a shorter name."
        )
    return name


def role_of(database: str, schema: str) -> str:
    """The role that owns a module's schemas in a database. Raises Misconfigured if PostgreSQL would cut its name."""
    name = f"{database}_{schema}"
    if len(name.encode()) > MAX_NAME_BYTES:
        most = MAX_NAME_BYTES - len(f"_{schema}".encode())
        raise Misconfigured(
            f"names a database of {len(database.encode())} bytes. The role of {schema} would be cut after "
            f"{MAX_NAME_BYTES}, so that several modules had one role: use a name of at most {most} bytes."
        )
    return name
