"""The declaration of a module (a bounded context), and the modules that are installed in this process."""

import importlib.util
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar

from django.apps import AppConfig, apps
from django.utils.module_loading import import_string

from pangaea.errors import Misconfigured

PACKAGE = "modules"
"""Where modules are, unless PANGAEA_MODULES_PACKAGE names another package."""


class Role(StrEnum):
    """A caller's role, as their access token states it. Each module decides by its scopes what a role may do."""

    CUSTOMER = "customer"
    """A customer with an account."""


class Plan(StrEnum):
    """What an account may use, as its access token states it: quotas depend on it. Without the claim it is `FREE`."""

    FREE = "free"
    PRO = "pro"


@dataclass(frozen=True, slots=True)
class Scope:
    """A right to a part of a module's API, with the roles that have it, as the module declares them.

    `name` is `<module>:<what_it_allows>`, and `description` is one line in the API's document. A view requires the
    scope with `HasScope(name)`.
    """

    name: str
    description: str
    roles: tuple[Role, ...]


@dataclass(frozen=True, slots=True)
class RateLimit:
    """One token bucket per caller: it allows `requests` at once, and is refilled evenly within `per`.

    The default stops a client in an endless loop, but no client that works correctly.
    """

    requests: int = 6000
    per: timedelta = timedelta(minutes=1)

    def __post_init__(self) -> None:
        if self.requests < 1 or self.per <= timedelta(0):
            raise Misconfigured(f"A rate limit allows one request or more in a positive time, not {self}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Deprecation:
    """The end of a route's version: what replaces it, since when, and until when it is answered.

    Both days begin at 00:00 UTC. From `since` on no new client should use the route (RFC 9745); from `sunset` on it may
    be removed (RFC 8594), at least SHORTEST_NOTICE later. `successor` is the path of the module's route that replaces
    it. `changes` are sentences for authors of clients: what differs in the successor, and what to do about it. The
    route's answers link to a page that shows them.
    """

    since: date
    sunset: date
    successor: str
    changes: tuple[str, ...]


SHORTEST_NOTICE = timedelta(days=90)
"""The shortest time between the `since` and the `sunset` of a Deprecation."""


class Fails(StrEnum):
    """What a quota does with requests that it cannot count, because the shared cache does not answer."""

    OPEN = "open"
    """It lets them pass, uncounted: the quota keeps order, and an outage must not stop the shop."""
    CLOSED = "closed"
    """It refuses them with 503 and `Retry-After`: what it protects costs more than an outage."""


@dataclass(frozen=True, slots=True)
class Quota:
    """At most `requests` of one caller within a window of `per`, counted by the module itself, in the shared cache.

    The caller is the token's subject, else the client's address (IPv4) or network (IPv6 /64). `requests` may depend on
    the plan of the caller's account. Windows follow each other without a gap, and begin at another moment for each
    caller, so that not all callers return at once; a day is not a calendar day. `changes_only`: requests with safe
    methods (RFC 9110, 9.2.1) are not counted. Routes that declare a quota of the same name share its count.

    `name` is `<module>:<what_is_counted>`. Clients read it in the header fields RateLimit and RateLimit-Policy.
    """

    name: str
    requests: int | Mapping[Plan, int] = field(hash=False)
    per: timedelta
    fails: Fails
    changes_only: bool = False

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9_]*:[a-z][a-z0-9_]*", self.name):
            example = "<module>:<what_is_counted>, like shop:changes_per_day"
            raise Misconfigured(f"A quota is named {example}; not {self.name!r}.")
        if self.per < timedelta(seconds=1) or self.per % timedelta(seconds=1):
            raise Misconfigured(f"The window of the quota {self.name} has whole seconds, one or more; not {self.per}.")
        if isinstance(self.requests, Mapping) and (missing := set(Plan) - self.requests.keys()):
            names = ", ".join(sorted(missing))
            raise Misconfigured(f"The quota {self.name} has no number of requests for the plan {names}: add it.")
        if min(self.allowed(plan) for plan in Plan) < 1:
            raise Misconfigured(f"The quota {self.name} allows one request or more.")

    def allowed(self, plan: Plan) -> int:
        """How many requests a caller with this plan has within a window."""
        return self.requests if isinstance(self.requests, int) else self.requests[plan]


@dataclass(frozen=True, slots=True)
class Route:
    """A public URL prefix and the URL patterns that answer below it.

    `path` begins with a slash and ends without one; the patterns in `urlconf` are "" or begin with a slash.
    `public`: requests below the path need no token, and a gateway passes requests without one. A path below it that
    needs a token has a longer route of its own. `rate_limit` is a gateway's limit per caller: the token's holder or, on
    a public route, the address. Idempotent methods have one bucket, all other methods have another. `for_modules`:
    every service of the trust domain may read this exact path directly, not only through the gateway
    (ACCEPTED_CALLERS). It is meant for published keys. `deprecation`: the route's answers announce its end.
    `quotas` are counted by the module, with and without a gateway, in the order of the declaration: a request that one
    refuses is not counted by those after it.
    `concurrent`: how many requests below the path one web process answers at once; by default all of its threads but
    two. Further ones wait shortly, then get 503 with Retry-After.
    """

    path: str
    urlconf: str
    public: bool = False
    rate_limit: RateLimit = RateLimit()
    for_modules: bool = False
    deprecation: Deprecation | None = None
    quotas: tuple[Quota, ...] = ()
    concurrent: int | None = None

    def __post_init__(self) -> None:
        if self.concurrent is not None and self.concurrent < 1:
            raise Misconfigured(f"The route {self.path} must allow one concurrent request or more.")


@dataclass(frozen=True, slots=True)
class ProblemType:
    """A kind of problem document: the page at its `type` shows it (RFC 9457, 4.1).

    `explanation` is for authors of clients: why an answer has this code, and what to do about it, in a few sentences.
    `example` has members of an example document: `detail`, and each that only documents of this code have.
    """

    code: str
    status: int
    explanation: str
    example: Mapping[str, object] = field(default_factory=dict, hash=False)


class ModuleConfig(AppConfig):
    """The declaration of a module. All links between modules at run time are derived from it.

    The label is also the module's name on the bus, its database alias, its schema and the prefix of its messages.
    """

    default = False
    default_auto_field = "django.db.models.BigAutoField"

    routes: ClassVar[tuple[Route, ...]] = ()
    scopes: ClassVar[tuple[Scope, ...]] = ()
    """The scopes that this module's views require. No other module names them."""
    problems: ClassVar[tuple[ProblemType, ...]] = ()
    """Every code of this module's own domain errors, explained. `/problems/<code>` shows them."""
    subscriptions: ClassVar[tuple[str, ...]] = ()
    """Dotted paths of the Projection and Reaction objects of this module."""
    captures: ClassVar[tuple[str, ...]] = ()
    """Dotted paths of the Capture objects of this module: models whose changed rows become messages."""
    accepts_commands_from: ClassVar[tuple[str, ...]] = ()
    """Labels of the modules whose commands this module accepts. Commands of other modules are refused."""
    retention: ClassVar[timedelta | None] = None
    """How long this module's messages are kept once every subscriber has them. None means for ever, so that later
    subscribers and rebuilt projections can begin at the first message. A limit needs `captures`, for snapshots."""
    demo: ClassVar[str | None] = None
    """Dotted path of `seed(*, credentials: bool) -> list[str]`: writes demo data idempotently, and describes it."""
    demo_log_ins: ClassVar[Mapping[str, str]] = {}
    """The accounts of the demo data: names with their public passwords."""

    walk: ClassVar[tuple[str, ...]] = ()
    """Shell commands that demonstrate the module; `$URL` is the address. They run after those of its sources.

    Begin with `sleep 1` where they show what arrived by messages.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Make Django pick the subclass from `apps.py`, where it also finds the imported base class."""
        super().__init_subclass__(**kwargs)
        cls.default = True

    def load_subscriptions(self) -> list[Any]:
        """The declared Subscription objects, in the order of their declaration."""
        return [import_string(path) for path in self.subscriptions]

    def load_captures(self) -> list[Any]:
        """The declared Capture objects, in the order of their declaration."""
        return [import_string(path) for path in self.captures]


def installed() -> list[ModuleConfig]:
    """The modules of this process, ordered by label."""
    configs = [config for config in apps.get_app_configs() if isinstance(config, ModuleConfig)]
    return sorted(configs, key=lambda config: config.label)


def upstream_first() -> list[ModuleConfig]:
    """The installed modules, producers before their subscribers. Modules that subscribe to each other come by label."""
    waiting = {
        config.label: {s for each in config.load_subscriptions() for s in each.sources} for config in installed()
    }
    ordered: list[ModuleConfig] = []
    while waiting:
        free = [label for label, sources in waiting.items() if not (sources - {label}) & waiting.keys()]
        for label in free or sorted(waiting):
            ordered.append(named(label))
            del waiting[label]
    return ordered


def labels() -> list[str]:
    """The labels of the modules of this process."""
    return [config.label for config in installed()]


def named(label: str) -> ModuleConfig:
    """The installed module with this label. Raises LookupError, which names the installed modules."""
    for config in installed():
        if config.label == label:
            return config
    message = f"There is no module {label!r} in this process. Installed: {', '.join(labels()) or 'none'}."
    raise LookupError(message)


def selected(chosen: Sequence[str]) -> list[str]:
    """The labels of the chosen modules; of all installed ones if none is chosen. Raises LookupError as `named` does."""
    return [named(label).label for label in chosen] or labels()


def scopes() -> dict[str, Scope]:
    """The scopes that the installed modules declare, by name."""
    return {scope.name: scope for module in installed() for scope in module.scopes}


def route_of(path: str) -> Route | None:
    """The route below which a path is, the longest if there are several; None for a path of no installed module."""
    routes = {route.path: route for module in installed() for route in module.routes}
    # A path may have thousands of segments.
    longest = max((route.count("/") for route in routes), default=0) + 1
    segments = path.split("/", longest)[:longest]
    while segments:
        if route := routes.get("/".join(segments)):
            return route
        segments.pop()
    return None


def owner_of(cls: type) -> ModuleConfig | None:
    """The installed module whose package contains the class; None if there is none."""
    config = apps.get_containing_app_config(cls.__module__)
    return config if isinstance(config, ModuleConfig) else None


def project_root() -> Path:
    """The folder that holds the package of modules; the working directory if a project has no such package."""
    folder = _folder(PACKAGE)
    return folder.parent if folder else Path.cwd()


def discover(package: str = PACKAGE) -> list[str]:
    """The labels of all sub-packages that have an `apps.py`, ordered."""
    folder = _folder(package)
    return sorted(path.parent.name for path in folder.glob("*/apps.py")) if folder else []


def _folder(package: str) -> Path | None:
    spec = importlib.util.find_spec(package)
    locations = list(spec.submodule_search_locations or ()) if spec else []
    return Path(locations[0]) if locations else None
