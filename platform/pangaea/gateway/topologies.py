"""The addresses of the gateway and the modules, and the optional parts of a deployment's edge."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from pangaea.addresses.url import MAX_PORT
from pangaea.errors import Misconfigured
from pangaea.gateway.addresses import Address

TOPOLOGIES = "topologies.toml"
NEEDED = ("listen", "admin")
LISTENERS = (*NEEDED, "listen_tls", "operators")
TEXTS = (*LISTENERS, "host", "upstream", "endpoints", "certificates")
KNOWN = (*TEXTS, "upstreams", "first_port")


@dataclass(frozen=True, slots=True)
class Topology:
    """The addresses at which the gateway listens and the modules answer.

    No topology has to name a module. The files in the folder `endpoints` hold the modules' addresses. Without such a
    folder each module answers at `upstream`. In it `{module}` is the module's label, with dashes because host names
    have no underscores, and `{port}` counts up from `first_port` in the order of the labels. `upstreams` has the
    addresses of single modules that answer elsewhere.

    `certificates` is the folder that `manage.py certs` fills. With it, the gateway authenticates itself to the services
    and verifies them. At `listen_tls` it serves clients over TLS. At `operators` it serves the modules' admins, over
    TLS if there are certificates; if it is not set, the admins are served nowhere, and if it equals `listen`, beside
    everything else. `host` is the Host header of the gateway's own requests to services; by default the host of
    `listen`, or localhost where that is every address.
    """

    name: str
    listen: Address
    admin: Address
    listen_tls: Address | None = None
    operators: Address | None = None
    host: str = ""
    upstream: str | None = None
    upstreams: Mapping[str, Address] = field(default_factory=dict)
    first_port: int | None = None
    endpoints: str | None = None
    certificates: str | None = None
    limits: float = 1
    """A factor on every rate limit: measurements send more requests than any client."""
    demo: bool = False
    """Whether the start page has the log-ins of the demo, whose passwords are public."""

    def __post_init__(self) -> None:
        places: dict[Address, str] = {}
        for key in LISTENERS:
            place = getattr(self, key)
            if place and (other := places.setdefault(place, key)) != key and (other, key) != ("listen", "operators"):
                raise Misconfigured(
                    f"In the topology {self.name!r} both `{other}` and `{key}` are {place}: each listens at an address "
                    "of its own."
                )
        if self.host and not Address.is_url_host(self.host):
            raise Misconfigured(
                f"`host` of the topology {self.name!r} is {self.host!r}; it must be a host name, like shop.example, "
                "without scheme and port."
            )

    @property
    def host_header(self) -> str:
        """The Host of the gateway's own requests to services."""
        return self.host or ("localhost" if self.listen.is_wildcard else self.listen.url_host)

    @classmethod
    def read(cls, name: str, table: Mapping[str, Any]) -> Self:
        """The topology of one table of the file. Raises Misconfigured for a missing, unknown or mistyped key."""
        where = f"topology {name!r}"
        if unknown := table.keys() - set(KNOWN):
            raise Misconfigured(
                f"The {where} has unknown keys: {', '.join(sorted(unknown))}. Known: {', '.join(KNOWN)}."
            )
        texts = {key: table[key] for key in TEXTS if key in table}
        named = table.get("upstreams", {})
        if not isinstance(named, dict):
            raise Misconfigured(f'`upstreams` of the {where} is a table: module = "HOST:PORT".')
        if odd := [key for key, value in {**texts, **named}.items() if not isinstance(value, str)]:
            raise Misconfigured(f"The {where} has an address that is not a string: {', '.join(odd)}.")
        first_port = table.get("first_port")
        if ("{port}" in texts.get("upstream", "")) != (type(first_port) is int and 0 < first_port <= MAX_PORT):
            raise Misconfigured(
                f"`first_port` of the {where} is the number of a port, like 8101, where `upstream` has {{port}}."
            )
        if missing := set(NEEDED) - texts.keys():
            raise Misconfigured(f"The {where} lacks {' and '.join(sorted(missing))}.")
        if "listen_tls" in texts and "certificates" not in texts:
            raise Misconfigured(
                f"The {where} has listen_tls and no `certificates`: name the folder that `manage.py certs` fills."
            )
        addresses: dict[str, Any] = {
            key: Address.parse_listener(texts.pop(key), what=f"`{key}` of the {where}")
            for key in LISTENERS
            if key in texts
        }
        return cls(
            name=name,
            **addresses,
            **texts,
            first_port=first_port,
            upstreams={
                label: Address.parse_destination(text, what=f"The upstream {label!r} of the {where}")
                for label, text in named.items()
            },
        )

    def override(self, *, upstreams: Mapping[str, Address] | None = None, **fields: Any) -> Self:
        """The same topology with other values for these fields; `upstreams` are added."""
        return replace(self, upstreams={**self.upstreams, **(upstreams or {})}, **fields)

    def addresses(self, labels: Sequence[str]) -> dict[str, Address | None]:
        """The address of each of these modules; None where files of endpoints hold it.

        Raises Misconfigured if a module has no address, or if two modules have the same one.
        """
        found = {label: self._address_of(label, number) for number, label in enumerate(sorted(labels))}
        owners: dict[Address, str] = {}
        for label, address in found.items():
            if address and (other := owners.setdefault(address, label)) != label:
                raise Misconfigured(
                    f"In the topology {self.name!r} both {other!r} and {label!r} answer at {address}: give one of them "
                    f"another address in the table [{self.name}.upstreams] of {TOPOLOGIES}."
                )
        return found

    def _address_of(self, module: str, number: int) -> Address | None:
        if module in self.upstreams or self.endpoints is not None:
            return self.upstreams.get(module)
        if self.upstream is None:
            raise Misconfigured(
                f"The topology {self.name!r} has no address for the module {module!r}. Give it an `upstream`, "
                f'like "{{module}}:8000", or add the module to the table [{self.name}.upstreams] of {TOPOLOGIES}, '
                f'like {module} = "127.0.0.1:8101".'
            )
        text = self.upstream.replace("{module}", module.replace("_", "-"))
        text = text.replace("{port}", str((self.first_port or 0) + number))
        return Address.parse_destination(
            text, what=f"`upstream` of the topology {self.name!r}, for the module {module!r},"
        )


def topologies(directory: Path) -> dict[str, Topology]:
    """Every topology that the folder declares, by name."""
    file = directory / TOPOLOGIES
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise Misconfigured(f"There is no {file}. Name the folder that holds {TOPOLOGIES} with --directory.") from error
    except tomllib.TOMLDecodeError as error:
        raise Misconfigured(f"{file} is not TOML: {error}") from error
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise Misconfigured(f"{file} has {name!r} outside any topology; put it below [a name].")
    return {name: Topology.read(name, table) for name, table in tables.items()}
