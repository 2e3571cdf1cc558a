"""The edge's configuration, from what the installed modules declare.

The policy of the edge is Envoy's own language, in `envoy.template.yaml`. Where the modules run is in `topologies.toml`.
What this module adds is which paths belong to which module: it is read from the declarations, so that no list of
modules has to be kept anywhere.
"""

import ipaddress
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import yaml

from pangaea.errors import Misconfigured
from pangaea.modules import ModuleConfig

TEMPLATE = "envoy.template.yaml"
TOPOLOGIES = "topologies.toml"

HEADER = """\
# The edge of the topology {topology!r}, rendered from {template}, {topologies} and the routes that the modules declare.
# Edit those and run `python manage.py gateway render`.

"""


@dataclass(frozen=True, slots=True)
class Address:
    """A host name or IP address, and a TCP port."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str, *, what: str) -> Self:
        """`HOST:PORT`, an IPv6 address in brackets. Raises Misconfigured, naming `what`, for anything else."""
        host, colon, port = text.strip().rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        if not (colon and host and port.isascii() and port.isdecimal() and 0 < int(port) <= 65535):  # noqa: PLR2004 TCP's last port
            raise Misconfigured(f"{what} is {text!r}; it must be HOST:PORT, like 127.0.0.1:8080.")
        return cls(host=host, port=int(port))

    @property
    def is_literal(self) -> bool:
        """Whether the host is an IP address, which nobody has to look up."""
        try:
            ipaddress.ip_address(self.host)
        except ValueError:
            return False
        return True


@dataclass(frozen=True, slots=True)
class Topology:
    """Where the gateway listens and where each module answers.

    A module without an own line in `upstreams` answers at `upstream`, in which `{module}` is its label
    with dashes, for host names have no underscores.
    """

    name: str
    listen: Address
    admin: Address
    upstream: str | None = None
    upstreams: Mapping[str, Address] = field(default_factory=dict)

    @classmethod
    def read(cls, name: str, table: Mapping[str, Any]) -> Self:
        """One table of the topologies' file. Raises Misconfigured for a missing, unknown or mistyped key."""
        where = f"topology {name!r}"
        if unknown := table.keys() - {"listen", "admin", "upstream", "upstreams"}:
            raise Misconfigured(
                f"The {where} has unknown keys: {', '.join(sorted(unknown))}. "
                "Known: listen, admin, upstream, upstreams."
            )
        texts = {key: value for key, value in table.items() if key != "upstreams"}
        named = table.get("upstreams", {})
        if not isinstance(named, dict):
            raise Misconfigured(f'`upstreams` of the {where} is a table: module = "HOST:PORT".')
        if odd := [key for key, value in {**texts, **named}.items() if not isinstance(value, str)]:
            raise Misconfigured(f"The {where} has an address that is not a string: {', '.join(odd)}.")
        if missing := {"listen", "admin"} - texts.keys():
            raise Misconfigured(f"The {where} lacks {' and '.join(sorted(missing))}.")
        return cls(
            name=name,
            listen=Address.parse(texts["listen"], what=f"`listen` of the {where}"),
            admin=Address.parse(texts["admin"], what=f"`admin` of the {where}"),
            upstream=texts.get("upstream"),
            upstreams={
                label: Address.parse(text, what=f"The upstream {label!r} of the {where}")
                for label, text in named.items()
            },
        )

    def override(
        self,
        *,
        listen: Address | None = None,
        admin: Address | None = None,
        upstreams: Mapping[str, Address] | None = None,
    ) -> Self:
        """The same topology at other addresses."""
        return replace(
            self,
            listen=listen or self.listen,
            admin=admin or self.admin,
            upstreams={**self.upstreams, **(upstreams or {})},
        )

    def address_of(self, module: str) -> Address:
        """Where the module answers; Misconfigured where nobody says so."""
        if address := self.upstreams.get(module):
            return address
        if self.upstream is None:
            raise Misconfigured(
                f"The topology {self.name!r} does not say where the module {module!r} answers. Add it to the "
                f'table [{self.name}.upstreams] of {TOPOLOGIES}, like {module} = "127.0.0.1:8101".'
            )
        text = self.upstream.replace("{module}", module.replace("_", "-"))
        return Address.parse(text, what=f"`upstream` of the topology {self.name!r}, for the module {module!r},")


@dataclass(frozen=True, slots=True)
class Template:
    """Envoy's configuration with gaps: the whole of it, one module's cluster, one route."""

    bootstrap: Any
    cluster: Any
    route: Any


def topologies(directory: Path) -> dict[str, Topology]:
    """Every topology that the folder declares, by name."""
    try:
        tables = tomllib.loads(_read(directory / TOPOLOGIES))
    except tomllib.TOMLDecodeError as error:
        raise Misconfigured(f"{directory / TOPOLOGIES} is not TOML: {error}") from error
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise Misconfigured(f"{directory / TOPOLOGIES} has {name!r} outside any topology; put it below [a name].")
    return {name: Topology.read(name, table) for name, table in tables.items()}


def template(directory: Path) -> Template:
    """The folder's template."""
    try:
        documents = list(yaml.safe_load_all(_read(directory / TEMPLATE)))
    except yaml.YAMLError as error:
        raise Misconfigured(f"{directory / TEMPLATE} is not YAML: {error}") from error
    if len(documents) != len(Template.__slots__):
        raise Misconfigured(
            f"{directory / TEMPLATE} has {len(documents)} documents; it needs three: bootstrap, cluster and route."
        )
    return Template(*documents)


def owners(modules: list[ModuleConfig]) -> dict[str, str]:
    """Every public path and the label of the module that answers there, in the order in which they must be tried.

    Beside its own routes each module serves its API's schema. A longer path comes first: a route inside another
    module's prefix belongs to who declared it. Misconfigured, naming both, if two modules declare the same path.
    """
    found: dict[str, str] = {}
    for module in modules:
        for path in (*(route.path for route in module.routes), f"/api/schema/{module.label}"):
            if (other := found.setdefault(path, module.label)) != module.label:
                raise Misconfigured(f"The modules {other!r} and {module.label!r} both declare the route {path!r}.")
    return {path: found[path] for path in sorted(found, key=lambda path: (-path.count("/"), path))}


def render(topology: Topology, *, modules: list[ModuleConfig], template: Template) -> str:
    """Envoy's configuration as YAML, the same text for the same input. Misconfigured if the two do not fit together."""
    labels = [module.label for module in modules]
    if strangers := topology.upstreams.keys() - set(labels):
        raise Misconfigured(
            f"The topology {topology.name!r} says where {', '.join(sorted(strangers))} answers, but installed are: "
            f"{', '.join(labels) or 'no modules'}. Correct the name, or render with every module installed."
        )
    addresses = {label: topology.address_of(label) for label in labels}
    clusters = [
        _fill(
            template.cluster,
            {
                "module": label,
                "host": address.host,
                "port": address.port,
                "discovery": "STATIC" if address.is_literal else "STRICT_DNS",
            },
        )
        for label, address in addresses.items()
    ]
    routes = [_fill(template.route, {"path": path, "module": label}) for path, label in owners(modules).items()]
    configuration = _fill(
        template.bootstrap,
        {
            "listen_host": topology.listen.host,
            "listen_port": topology.listen.port,
            "admin_host": topology.admin.host,
            "admin_port": topology.admin.port,
            "clusters": clusters,
            "routes": routes,
        },
    )
    header = HEADER.format(topology=topology.name, template=TEMPLATE, topologies=TOPOLOGIES)
    return header + yaml.dump(configuration, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)


class _Dumper(yaml.SafeDumper):
    """Writes a shared part out each time: an anchor would save lines and cost the reader the meaning."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: FBT001, FBT002
        """Indent the items of a list below its key."""
        return super().increase_indent(flow, indentless=False)


def _fill(part: Any, values: Mapping[str, Any]) -> Any:
    """The part of the template with its gaps closed. A gap that is a whole value keeps the value's type."""
    if isinstance(part, dict):
        return {key: _fill(value, values) for key, value in part.items()}
    if isinstance(part, list):
        return [_fill(value, values) for value in part]
    if not isinstance(part, str):
        return part
    for name, value in values.items():
        gap = f"${{{name}}}"
        if part == gap:
            return value
        part = part.replace(gap, str(value))
    if "${" in part:
        raise Misconfigured(f"{TEMPLATE} has a gap that nothing fills: {part!r}. Known here: {', '.join(values)}.")
    return part


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise Misconfigured(f"There is no {path}. Name the folder that holds {path.name} with --directory.") from error
