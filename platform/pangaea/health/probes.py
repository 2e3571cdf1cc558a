"""The answers of /livez, /readyz and /startupz, for the web process and for relays and workers.

/livez      503 only if a restart would help. A web process that answers is alive, so that a broken database does not
            cause a restart of every process. A relay or worker is alive while every component reports
/readyz     200 or 503, as `pangaea.health.readiness` decides
/startupz   as /readyz until it succeeds for the first time, then 200 for good

The web process answers probes beside its API, by `ProbeMiddleware`. Relay and worker answer them at HEALTH_PORT, by
`pangaea.health.probe_server`, with the state of each component in the document.
"""

from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any

from django.db import connections
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase

from pangaea.api import problems
from pangaea.api.problems import Problem, ProblemResponse
from pangaea.health import readiness
from pangaea.telemetry.components import Component


def livez(_request: HttpRequest) -> HttpResponse:
    return JsonResponse({"status": "alive"})


def readyz(request: HttpRequest) -> HttpResponse:
    is_ready, checks = readiness.state.check()
    if is_ready:
        return JsonResponse({"status": "ready", "checks": checks})
    problem = Problem(
        status=HTTPStatus.SERVICE_UNAVAILABLE,
        code="not_ready",
        detail="This process cannot serve requests; see `checks`.",
        members={"checks": checks},
        headers=problems.RETRY_SOON,
    )
    return ProblemResponse(problem, path=request.path)


def startupz(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"status": "started"}) if readiness.state.has_been_ready else readyz(request)


PROBES: Mapping[str, Callable[[HttpRequest], HttpResponse]] = {
    "/livez": livez,
    "/readyz": readyz,
    "/startupz": startupz,
}


class ProbeMiddleware:
    """Answers the probes before any other middleware checks the host name, the scheme or a session."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        probe = PROBES.get(request.path_info)
        if probe is None:
            return self._get_response(request)
        if request.method not in {"GET", "HEAD"}:
            problem = Problem(
                status=HTTPStatus.METHOD_NOT_ALLOWED,
                code="method_not_allowed",
                detail=f"{request.method} is not possible here; see Allow.",
                headers={"Allow": "GET, HEAD"},
            )
            return ProblemResponse(problem, path=request.path)
        response = probe(request)
        response.headers["Cache-Control"] = "no-store"
        return response


Answer = tuple[HTTPStatus, Mapping[str, Any]]


def is_quick(path: str) -> bool:
    """Whether a relay or worker answers this probe without a check that may take seconds."""
    return path != "/readyz" and (path != "/startupz" or readiness.state.has_been_ready)


def answer(path: str, components: Iterable[Component]) -> Answer:
    """The status and the document with which a relay or worker answers a probe; 404 for any other path."""
    components = list(components)
    states = {component.name: component.as_dict() for component in components}
    if path == "/livez":
        is_alive = all(component.is_alive for component in components)
        return _status(ok=is_alive), {"status": "alive" if is_alive else "hanging", "components": states}
    if path == "/startupz" and readiness.state.has_been_ready:
        return HTTPStatus.OK, {"status": "started"}
    if path not in PROBES:
        return HTTPStatus.NOT_FOUND, {"status": "not found", "probes": list(PROBES)}
    try:
        is_ready, checks = readiness.state.check(
            verifies_tokens=False,
            needs_broker=True,
            components_ready=all(component.state.is_ready for component in components),
        )
    finally:
        # The next probe may come much later, and no connection is kept open until then.
        connections.close_all()
    return _status(ok=is_ready), {
        "status": "ready" if is_ready else "not ready",
        "checks": checks,
        "components": states,
    }


def _status(*, ok: bool) -> HTTPStatus:
    return HTTPStatus.OK if ok else HTTPStatus.SERVICE_UNAVAILABLE
