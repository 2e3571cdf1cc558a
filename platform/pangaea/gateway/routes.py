"""The module of each public path."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from pangaea.api.versioning import deprecation_headers
from pangaea.errors import Misconfigured
from pangaea.modules import ModuleConfig, RateLimit, Route

KEYS_PATH = "/.well-known/jwks.json"
"""Where the keys that verify access tokens are published (RFC 8615); the module that declares it issues the tokens."""

PASSWORD_LIMIT = RateLimit(requests=60, per=timedelta(minutes=1))
"""The rate limit of the admin's pages that take a password."""


@dataclass(frozen=True, slots=True)
class EdgeRoute:
    """A public path prefix and the policy of its requests."""

    path: str
    module: str
    public: bool
    rate_limit: RateLimit
    for_clients: bool = True
    """Whether the public listeners have it."""
    for_operators: bool = False
    """Whether the operators' listener has it: all of the admin, and no route that a module declares."""
    deprecation: Mapping[str, str] = field(default_factory=dict)
    """The header fields, by name, that announce the end of a deprecated route."""


def routes(modules: list[ModuleConfig], *, documents: bool) -> list[EdgeRoute]:
    """Every public path of the modules, in the order in which the gateway must try them.

    Besides the routes that it declares each module serves its admin, which has a log-in of its own, and with
    `documents` its API's schema and documentation page. A longer path comes first: a route inside another module's
    prefix belongs to the module that declared it. Raises Misconfigured, naming both, if two modules declare the same
    path.
    """
    found: dict[str, EdgeRoute] = {}
    for module in modules:
        declared = [
            EdgeRoute(each.path, module.label, each.public, each.rate_limit, deprecation=_deprecation(each))
            for each in module.routes
        ]
        for route in (*declared, *_of_every_module(module.label, documents=documents)):
            if (other := found.setdefault(route.path, route)).module != module.label:
                raise Misconfigured(
                    f"The modules {other.module!r} and {module.label!r} both declare the route {route.path!r}."
                )
    return sorted(found.values(), key=lambda route: (-route.path.count("/"), route.path))


def _deprecation(route: Route) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in deprecation_headers(route):
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found


def _of_every_module(label: str, *, documents: bool) -> list[EdgeRoute]:
    admin = f"/admin/{label}"
    # The pages of the documents need the admin's files too.
    shared = [f"{admin}/static", *((f"/api/schema/{label}", f"/api/docs/{label}") if documents else ())]
    guarded = {admin: RateLimit(), f"{admin}/login": PASSWORD_LIMIT, f"{admin}/password_change": PASSWORD_LIMIT}
    return [
        *(
            EdgeRoute(path, label, public=True, rate_limit=RateLimit(), for_clients=documents, for_operators=True)
            for path in shared
        ),
        *(
            EdgeRoute(path, label, public=True, rate_limit=limit, for_clients=False, for_operators=True)
            for path, limit in guarded.items()
        ),
    ]


def issuer(routes: Iterable[EdgeRoute]) -> str | None:
    """The label of the module that publishes the keys of access tokens, and so issues them; None without one."""
    return next((route.module for route in routes if route.path == KEYS_PATH), None)
