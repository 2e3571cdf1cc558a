"""Shaping: how many requests of each route are answered at once in a web process.

Each route has a bound: the `concurrent` of its declaration, by default all threads of the process but RESERVED_THREADS.
So one slow route leaves threads to the other routes and to the probes, without a gateway too. A request beyond the
bound waits without a thread, for LONGEST_WAIT at most; if MOST_WAITING wait already, or it has waited that long, the
answer is 503 `too_busy` with Retry-After. Such a request has had no effect, and has reached neither view nor database.

The web process's worker asks `Turns` before it gives a request to a thread, and `ShapingMiddleware` gives the answer to
a request that it refuses.

Not bounded: paths of no route (the admin, the documents, the probes), and the sum of all routes.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from enum import Enum
from http import HTTPStatus
from typing import TYPE_CHECKING, Generic, TypeVar

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from pangaea.api import problems
from pangaea.api.describing import Operation, add_header, add_problems
from pangaea.api.problems import Problem, ProblemResponse
from pangaea.modules import Route

if TYPE_CHECKING:
    from rest_framework.views import APIView  # the settings make APIView import this file

THREADS = 8
"""Threads of a web process, unless `manage.py web --threads` has another number."""
RESERVED_THREADS = 2
"""Threads that no single route takes by default: one for the probes, and one for all other routes."""
MOST_WAITING = 64
"""Requests per route and process that wait for their turn. They have arrived, with their bodies."""
LONGEST_WAIT = 5.0
"""Seconds for which a request waits for its turn. Less than a try of the gateway takes (7 s)."""

TOO_BUSY = Problem(
    status=HTTPStatus.SERVICE_UNAVAILABLE,
    code="too_busy",
    detail="This address has as many requests at once as it may have. Nothing was done; try again in a moment.",
    headers=problems.RETRY_SOON_HERE,
)

_OVERLOADED = {
    "description": "Present where this is not the failure of a process: a gateway sends the request to no other one.",
    "schema": {"type": "string", "enum": ["true"]},
    "example": "true",
}

Request = TypeVar("Request")


class Turn(Enum):
    """What becomes of a request that has arrived."""

    STARTS = "it is given to a thread"
    WAITS = "it is given to a thread later: `leave` returns it, or `late`"
    REFUSED = "it is answered with TOO_BUSY"


class Turns(Generic[Request]):
    """The requests of each route that are being answered, and those that wait. One thread alone uses it."""

    def __init__(self, *, threads: int) -> None:
        self._by_default = max(1, threads - RESERVED_THREADS)
        self._running: dict[Request, Route] = {}
        self._numbers: dict[Route, int] = defaultdict(int)
        self._waiting: dict[Route, deque[tuple[float, Request]]] = defaultdict(deque)

    def enter(self, request: Request, route: Route | None, *, now: float) -> Turn:
        """Decide about a request below this route, which has arrived at the time `now`."""
        if route is None:
            return Turn.STARTS
        if self._numbers[route] < (route.concurrent or self._by_default):
            self._numbers[route] += 1
            self._running[request] = route
            return Turn.STARTS
        if len(self._waiting[route]) >= MOST_WAITING:
            return Turn.REFUSED
        self._waiting[route].append((now + LONGEST_WAIT, request))
        return Turn.WAITS

    def leave(self, request: Request) -> Request | None:
        """Note that a request has ended, however it did. Returns the one to start instead; None if there is none."""
        route = self._running.pop(request, None)
        if route is None:
            return None
        if not self._waiting[route]:
            self._numbers[route] -= 1
            return None
        _, following = self._waiting[route].popleft()
        self._running[following] = route
        return following

    def late(self, now: float) -> Iterator[Request]:
        """Each request that has waited for LONGEST_WAIT: it waits no longer, and is refused."""
        for waiting in self._waiting.values():
            while waiting and waiting[0][0] <= now:
                yield waiting.popleft()[1]


class ShapingMiddleware:
    """Answers the requests that the worker refuses."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if getattr(request.META.get("gunicorn.socket"), "is_refused", False):
            return ProblemResponse(TOO_BUSY, path=request.path)
        return self._get_response(request)


def describe(_view: "APIView", _method: str, operation: Operation) -> None:
    """Every operation may be refused so."""
    add_problems(operation, TOO_BUSY.code)
    add_header(operation, "X-Envoy-Overloaded", _OVERLOADED, statuses=("503",))
