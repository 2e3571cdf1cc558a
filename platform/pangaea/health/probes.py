"""/livez, /readyz and /startupz of the web process.

/livez      the process answers; it asks nothing else, so that a broken database does not get every process restarted
/readyz     `pangaea.health.readiness`: 200, or 503
/startupz   like readyz until that succeeds for the first time, then 200 for good

Relays and workers answer them at HEALTH_PORT, see `pangaea.health.probe_server`.
"""

from collections.abc import Callable, Mapping
from http import HTTPStatus

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase

from pangaea.api.problems import Problem, ProblemResponse
from pangaea.health.readiness import state


def livez(_request: HttpRequest) -> HttpResponse:
    return JsonResponse({"status": "alive"})


def readyz(request: HttpRequest) -> HttpResponse:
    ready, checks = state.check()
    if ready:
        return JsonResponse({"status": "ready", "checks": checks})
    problem = Problem(
        status=HTTPStatus.SERVICE_UNAVAILABLE,
        code="not_ready",
        detail="This process cannot serve requests; see `checks`.",
        members={"checks": checks},
    )
    return ProblemResponse(problem, path=request.path)


def startupz(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"status": "started"}) if state.has_been_ready else readyz(request)


PROBES: Mapping[str, Callable[[HttpRequest], HttpResponse]] = {
    "/livez": livez,
    "/readyz": readyz,
    "/startupz": startupz,
}


class ProbeMiddleware:
    """Answers the probes before anything looks at the host name, the scheme or a session."""

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
