"""Template, topology and declarations -> the files that Envoy reads."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from pangaea.api import cross_origin, request_limits, versioning
from pangaea.configuration.declared import Declared
from pangaea.credentials import spiffe
from pangaea.errors import Misconfigured
from pangaea.gateway import pages
from pangaea.gateway.addresses import Address
from pangaea.gateway.parts import SECRETS, TEMPLATE, Template, fill
from pangaea.gateway.routes import KEYS_PATH, EdgeRoute, issuer, routes
from pangaea.gateway.topologies import TOPOLOGIES, Topology
from pangaea.identity.client_address import IPV6_PREFIX
from pangaea.modules import ModuleConfig, RateLimit
from pangaea.pages import layout
from pangaea.telemetry import correlation

ID_IF_VALID = (
    "%CEL(size(request.headers['{name}']) <= {length} && request.headers['{name}'].matches('^[{characters}]+$')"
    " ? request.headers['{name}'] : '')%"
)
"""Envoy's expression for the id in this header; empty for one that a service would replace. The length is compared
separately, because Envoy refuses a regular expression of that size."""

HEADER = """\
# {what} of the topology {topology!r}, rendered from {template}, {topologies} and the routes that the modules declare.
# Edit those and run `python manage.py render`.

"""


@dataclass(frozen=True, slots=True)
class Rendering:
    """The files that Envoy reads. `secrets`: files by name, with the paths of certificates; none without TLS."""

    configuration: str
    secrets: Mapping[str, str] = field(default_factory=dict)


def render(
    topology: Topology,
    *,
    modules: list[ModuleConfig],
    template: Template,
    installation: Declared,
    secrets: str = "secrets",
) -> Rendering:
    """Envoy's configuration as YAML, the same text for the same input.

    Raises Misconfigured if the topology and the modules, or the template, contradict each other. `secrets` is the
    folder in which Envoy will find the rendering's secrets. Every path is relative to the folder in which Envoy is
    started.
    """
    labels = [module.label for module in modules]
    addresses = topology.addresses(labels)
    if strangers := topology.upstreams.keys() - set(labels):
        raise Misconfigured(
            f"The topology {topology.name!r} has an address for {', '.join(sorted(strangers))}, but installed are: "
            f"{', '.join(labels) or 'no modules'}. Correct the name, or render with every module installed."
        )
    public = routes(modules, documents=installation.api_documents_public)
    edge = _Edge(topology, template, modules, public, installation, secrets)
    return Rendering(
        configuration=_text(edge.configuration(addresses), what="The edge", topology=topology),
        secrets={
            f"{name}.yaml": _text(edge.part(name), what=f"The secret {name!r}", topology=topology)
            for name in (SECRETS if topology.certificates is not None else ())
        },
    )


def files(
    path: Path,
    topology: Topology,
    *,
    modules: list[ModuleConfig],
    template: Template,
    installation: Declared,
    root: Path,
) -> dict[Path, str]:
    """The texts of the configuration at `path` and of its secrets in the folder beside it, by path.

    Envoy is started in `root`.
    """
    folder = path.with_suffix(".secrets").resolve()
    secrets = folder.relative_to(root.resolve()) if folder.is_relative_to(root.resolve()) else folder
    rendering = render(
        topology, modules=modules, template=template, installation=installation, secrets=secrets.as_posix()
    )
    beside = {path.with_suffix(".secrets") / name: text for name, text in rendering.secrets.items()}
    return {path: rendering.configuration, **beside}


@dataclass(frozen=True, slots=True)
class _Edge:
    """One rendering: the parts of the template with their gaps filled."""

    topology: Topology
    template: Template
    modules: list[ModuleConfig]
    routes: list[EdgeRoute]
    installation: Declared
    secrets: str

    def part(self, part: str, /, **values: Any) -> Any:
        folders = {"certificates": self.topology.certificates, "secrets": self.secrets}
        return fill(self.template[part], {**folders, **values})

    def configuration(self, addresses: Mapping[str, Address | None]) -> Any:
        return self.part(
            "bootstrap",
            admin=_listener(self.topology.admin),
            listeners=self.listeners(),
            clusters=[
                *(self.cluster(label, address) for label, address in addresses.items()),
                self.part("cluster_any", name=pages.ANY, modules=list(addresses)),
            ],
        )

    def listeners(self) -> list[Any]:
        shared = {
            "cors": self.cors(),
            "tokens": self.tokens(),
            "host": self.host,
            "max_line": request_limits.MAX_LINE,
            "max_field": request_limits.MAX_FIELD,
            "max_fields": request_limits.MAX_FIELDS,
            "max_head_kib": request_limits.MAX_HEAD >> 10,
            "max_body": request_limits.MAX_BODY,
            "valid_correlation_id": _id_if_valid(correlation.HEADER),
            "valid_request_id": _id_if_valid(correlation.REQUEST_HEADER),
        }
        answers = [self.answer(**each) for each in self.template["answers"]]
        with_tls = self.part("listener_tls") if self.topology.certificates is not None else None
        public = self.topology.operators == self.topology.listen
        clients = [route for route in self.routes if route.for_clients or public]
        operators = [route for route in self.routes if route.for_operators]
        places = {
            "edge": (self.topology.listen, None, clients),
            "edge_tls": (self.topology.listen_tls, with_tls, clients),
            "operators": (None if public else self.topology.operators, with_tls, operators),
        }
        return [
            self.part(
                "listener",
                name=name,
                place=_listener(place),
                tls=tls,
                routes=[
                    *self.pages(operators=name == "operators"),
                    *(each for route in routes for each in self.routes_of(route)),
                    *self.nowhere(),
                ],
                answers=[*self.unknown_versions(routes), *answers],
                **shared,
            )
            for name, (place, tls, routes) in places.items()
            if place
        ]

    def cluster(self, label: str, address: Address | None) -> Any:
        if address is None:
            discovery = self.part("cluster_discovered", module=label, endpoints=self.topology.endpoints)
        else:
            discovery = self.part(
                "cluster_static",
                module=label,
                host=address.host,
                port=address.port,
                type="STATIC" if address.is_literal else "STRICT_DNS",
            )
        tls = None
        if self.topology.certificates is not None:
            identity = spiffe.identity(self.installation.trust_domain, label)
            tls = self.part("cluster_tls", identity=identity, server_name=label.replace("_", "-"))
        return self.part("cluster", module=label, host=self.host, tls=tls) | discovery

    def routes_of(self, route: EdgeRoute) -> list[Any]:
        """An Envoy route for idempotent methods and one for the others, because a retry policy belongs to a route."""
        by_token = self.issuer is not None and not route.public
        openly = self.part("open") if self.issuer and route.public else None
        shared = {
            "path": route.path,
            "module": route.module,
            "open": openly,
            "deprecation": {name.lower(): value for name, value in route.deprecation.items()} or None,
            **self.limit(route.rate_limit, by_token=by_token),
        }
        name = f"{route.module} {route.path}"
        return [
            self.part("route", name=f"{name}, idempotent", **self.part("idempotent"), **shared),
            self.part("route", name=name, methods=None, retries=None, **shared),
        ]

    def pages(self, *, operators: bool) -> list[Any]:
        """The start page, as HTML and as JSON, and the services that explain problems."""
        openly = self.part("open") if self.issuer else None
        page = pages.start_page(
            self.topology, self.modules, documents=self.installation.api_documents_public, operators=operators
        )
        forms = (
            ("HTML", self.part("accepts_html"), layout.HTML, page.html()),
            ("JSON", None, layout.JSON, layout.text(page.as_dict())),
        )
        found = [
            self.part(
                "page",
                name=f"start page, {form}",
                paths=pages.PATHS,
                accept=accept,
                type=kind,
                policy=layout.POLICY,
                body=body,
                open=openly,
            )
            for form, accept, kind, body in forms
        ]
        found.append(self.part("page_is_read", paths=pages.PATHS, open=openly))
        shared = {"open": openly, "retries": self.part("idempotent")["retries"], **self.limit(RateLimit())}
        for cluster, paths in pages.explanations(self.modules):
            found.append(self.part("problem_page", module=cluster, paths=paths, **shared))
        return found

    def limit(self, limit: RateLimit, *, by_token: bool = False) -> dict[str, Any]:
        """The token bucket of each caller, and what answers show of it."""
        tokens, seconds = max(1, round(limit.requests * self.topology.limits)), limit.per.total_seconds()
        caller = self.part("by_token") if by_token else self.part("by_address", ipv6_prefix=IPV6_PREFIX)
        return {
            "limit": self.part("limit", tokens=tokens, interval=f"{seconds:g}s", **caller),
            "bucket": self.part("bucket", tokens=tokens, seconds=math.ceil(seconds)),
        }

    def cors(self) -> Any:
        """What web pages of other origins may do."""
        return self.part(
            "cors",
            origins=[{"exact": each} for each in self.installation.cors_origins],
            methods=", ".join(cross_origin.METHODS),
            request_headers=", ".join(cross_origin.REQUEST_HEADERS),
            response_headers=", ".join(cross_origin.RESPONSE_HEADERS),
            max_age=str(cross_origin.MAX_AGE),
        )

    def nowhere(self) -> list[Any]:
        """The routes of requests to no module. CONNECT has no path, and so a route of its own."""
        openly = self.part("open") if self.issuer else None
        matches: tuple[dict[str, Any], ...] = ({"prefix": "/"}, {"connect_matcher": {}})
        return [self.part("nowhere", match=match, open=openly) for match in matches]

    def unknown_versions(self, routes: Iterable[EdgeRoute]) -> list[Any]:
        """The answers at paths of a resource in a version that does not exist: no service gets such a request."""
        found = []
        for resource in versioning.resources(route.path for route in routes):
            when = f"response.code == 404 && request.url_path.matches(r'^{resource.pattern}$')"
            problem = resource.unknown
            found.append(self.answer(when=when, code=problem.code, detail=problem.detail, members=problem.members))
        return found

    def answer(self, *, when: str, text: str = "", code: str = "", status: int | None = None, **more: Any) -> Any:
        """One of the gateway's own answers: a plain text, or a problem document."""
        if text:
            fields, body = {}, self.part("plain", text=text)
        else:
            title, shown = code.replace("_", " ").capitalize(), status or "%RESPONSE_CODE%"
            fields = self.template["answer_headers"]
            body = self.part("problem", code=code, title=title, status=shown, detail=more["detail"])
            body["json_format"] |= more.get("members", {})
        headers = [
            {"header": {"key": key, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
            for key, value in (fields | more.get("headers", {})).items()
        ]
        return self.part("answer", when=when, status_code=status, headers=headers, body=body)

    def tokens(self) -> Any:
        """The filter that verifies tokens; None if no module issues tokens."""
        if self.issuer is None:
            return None
        return self.part(
            "tokens",
            issuer=self.installation.issuer,
            audience=self.installation.audience,
            keys=f"http://{self.host}{KEYS_PATH}",
            module=self.issuer,
        )

    @property
    def issuer(self) -> str | None:
        return issuer(self.routes)

    @property
    def host(self) -> str:
        return self.topology.host_header


def _listener(address: Address) -> dict[str, Any]:
    """Envoy's address to listen at. At [::] clients with IPv4 are accepted too."""
    dual = {"ipv4_compat": True} if address.is_wildcard and ":" in address.host else {}
    return {"socket_address": {"address": address.host, "port_value": address.port, **dual}}


def _id_if_valid(header: str) -> str:
    return ID_IF_VALID.format(name=header.lower(), length=correlation.MAX_LENGTH, characters=correlation.CHARACTERS)


class _Dumper(yaml.SafeDumper):
    """Repeats shared parts instead of using anchors, which are hard to read."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def represent_text(self, data: str) -> yaml.ScalarNode:
        """A text of several lines is written on as many lines, so that a change of a page can be reviewed."""
        return self.represent_scalar("tag:yaml.org,2002:str", data, style="|" if "\n" in data else None)

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: FBT001, FBT002
        """Indent the items of a list below its key."""
        return super().increase_indent(flow, indentless=False)


_Dumper.add_representer(str, _Dumper.represent_text)


def _text(content: Any, *, what: str, topology: Topology) -> str:
    header = HEADER.format(what=what, topology=topology.name, template=TEMPLATE, topologies=TOPOLOGIES)
    # default_flow_style=None writes a table without nested tables on one line.
    return header + yaml.dump(
        content, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True, default_flow_style=None
    )
