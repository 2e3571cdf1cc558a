"""The versions of the API: `/api/v1/orders` and `/api/v2/orders` are two versions of one resource, each with a route.

Calls are counted per version and caller (`call_counting`). Every answer below a deprecated route announces its end:
`Deprecation` (RFC 9745), `Sunset` (RFC 8594), and `Link` to the successor (RFC 5829) and to a page about the change. A
version that does not exist is answered with 404 `unknown_version`, at a gateway too.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from http import HTTPStatus
from typing import TYPE_CHECKING

from django.core.checks import Error
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.http import http_date

from pangaea import modules
from pangaea.api import describing, exposure
from pangaea.api.call_counting import counter
from pangaea.api.call_counts import ANONYMOUS
from pangaea.api.describing import Operation
from pangaea.api.problems import Problem
from pangaea.identity.principal import Principal
from pangaea.modules import SHORTEST_NOTICE, Deprecation, ModuleConfig, Route

if TYPE_CHECKING:
    from rest_framework.views import APIView  # the settings make APIView import this file

PAGES = "/deprecations"
"""The page about a deprecated route is at this prefix and the route's path."""
_DESCRIPTIONS = {
    "Deprecation": "Since when no new client should use this (RFC 9745): `@` and seconds since 1970.",
    "Sunset": "From when on this may be removed (RFC 8594).",
    "Link": "What replaces this (rel `successor-version`), a page about the change (`deprecation`), pages: RFC 8288.",
}
_VERSION = re.compile(r"v[0-9]+")
_ANY_VERSION = "v[0-9][^/]*"


@dataclass(frozen=True, slots=True)
class Resource:
    """What has versions: the path before the version and the path after it, and the versions, the oldest first."""

    before: str
    after: str
    versions: tuple[str, ...]

    @property
    def pattern(self) -> str:
        """A regular expression (Python's and RE2) of its paths, as a whole, in any version; group 1 is the version."""
        return f"{re.escape(self.before)}/({_ANY_VERSION}){re.escape(self.after)}(/.*)?"

    @property
    def unknown(self) -> Problem:
        """The answer to a request for a version that it does not have."""
        return Problem(
            status=HTTPStatus.NOT_FOUND,
            code="unknown_version",
            detail=f"This version does not exist. There is: {', '.join(self.versions)}.",
            members={"versions": list(self.versions)},
        )


def version_of(path: str) -> str | None:
    """The version in a route's path: its first segment like `v1`. None for a path without one."""
    return next((each for each in path.split("/") if _VERSION.fullmatch(each)), None)


def resources(paths: Iterable[str]) -> list[Resource]:
    """The resources of these routes' paths. One inside another's path comes before it."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for path in paths:
        if version := version_of(path):
            before, _, after = path.partition(f"/{version}")
            found[before, after].append(version)
    ordered = sorted(found, key=lambda parts: (-"".join(parts).count("/"), parts))
    return [Resource(*parts, tuple(sorted(found[parts], key=lambda each: int(each[1:])))) for parts in ordered]


def unknown(path: str) -> Problem | None:
    """The answer to a path of a resource of the installed modules in a version that does not exist; else None."""
    for resource in resources(route.path for module in modules.installed() for route in module.routes):
        found = re.fullmatch(resource.pattern, path, re.DOTALL)
        if found and found[1] not in resource.versions:
            return resource.unknown
    return None


def page_of(route: Route) -> str:
    """The path of the page about a deprecated route."""
    return f"{PAGES}{route.path}"


def deprecation_headers(route: Route) -> list[tuple[str, str]]:
    """The header fields of every answer below the route, in their order; none unless it is deprecated."""
    if route.deprecation is None:
        return []
    return [
        ("Deprecation", f"@{_timestamp(route.deprecation.since)}"),
        ("Sunset", http_date(_timestamp(route.deprecation.sunset))),
        ("Link", f'<{route.deprecation.successor}>; rel="successor-version"'),
        ("Link", f'<{page_of(route)}>; rel="deprecation"'),
    ]


def _timestamp(day: date) -> int:
    return int(datetime.combine(day, time(tzinfo=UTC)).timestamp())


class VersionMiddleware:
    """Counts the calls of each version, and adds the header fields of deprecated routes to every answer below them.

    A `Link` of the view is kept. Calls are counted whatever their answer; a browser's preflight is none.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response
        self._owners = {route.path: module.label for module in modules.installed() for route in module.routes}

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self._get_response(request)
        if (route := modules.route_of(request.path_info)) is not None:
            _count(self._owners[route.path], route, request)
            for name, value in deprecation_headers(route):
                before = response.headers.get(name) if name == "Link" else None
                response.headers[name] = f"{before}, {value}" if before else value
        return response


def _count(module: str, route: Route, request: HttpRequest) -> None:
    version = version_of(route.path)
    if version is None or request.method == "OPTIONS":
        return
    user = getattr(request, "user", None)
    # The type, because any other question to the operator's lazy `user` would read the session from the database.
    subject = str(user.subject) if type(user) is Principal else ANONYMOUS
    counter.count(module, version=version, route=route.path, subject=subject)


def describe(view: "APIView", _method: str, operation: Operation) -> None:
    """Mark the operation of a deprecated route, and describe the header fields of its answers."""
    owner = modules.owner_of(type(view))
    routes = [each.route for each in exposure.views_of(owner) if each.view is type(view)] if owner else []
    route = next((each for each in routes if each.deprecation), None)
    if route is None or route.deprecation is None:
        return
    operation["deprecated"] = True
    # `openapi check` reads it: a released document states until when it is answered.
    days = {"since": route.deprecation.since, "sunset": route.deprecation.sunset}
    operation["x-deprecation"] = {name: day.isoformat() for name, day in days.items()}
    end = f"Answered until {route.deprecation.sunset}; `{route.deprecation.successor}` replaces it: {page_of(route)}."
    operation["description"] = "\n\n".join(part for part in (operation.get("description"), end) if part)
    values = defaultdict(list)
    for name, value in deprecation_headers(route):
        values[name].append(value)
    for name, text in _DESCRIPTIONS.items():
        example = ", ".join(values[name])
        header = {"description": text, "required": True, "schema": {"type": "string"}, "example": example}
        describing.add_header(operation, name, header, statuses=("2XX", "3XX", "4XX", "5XX"))


def mistakes(module: ModuleConfig) -> Iterator[Error]:
    """What is wrong with the deprecations that the module declares."""
    paths = {route.path for route in module.routes}
    for route in module.routes:
        if route.deprecation is None:
            continue
        for text, hint in _mistakes_of(route, route.deprecation, paths):
            yield Error(f"The deprecation of {route.path!r}: {text}", hint=hint, obj=module, id="pangaea.E029")


def _mistakes_of(route: Route, deprecation: Deprecation, paths: set[str]) -> Iterator[tuple[str, str]]:
    if deprecation.sunset - deprecation.since < SHORTEST_NOTICE:
        days = (deprecation.sunset - deprecation.since).days
        yield (
            f"its sunset comes {days} days after its beginning.",
            f"Give clients {SHORTEST_NOTICE.days} days or more.",
        )
    if deprecation.successor not in paths or deprecation.successor == route.path:
        others = ", ".join(sorted(paths - {route.path})) or "none"
        yield f"its successor {deprecation.successor!r} is no other route of the module.", f"There are: {others}."
    if not deprecation.changes:
        yield "it names no changes.", "Explain to authors of clients what differs in the successor."
