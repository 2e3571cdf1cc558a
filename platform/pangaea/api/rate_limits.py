"""Quotas of routes (Route.quotas): counted with django-ratelimit in the shared cache, once per request.

A request is counted after authentication and permission, and before its body is read: a request without a valid
token costs its owner nothing, and one that fails validation is counted, as is a repeat with an Idempotency-Key. Answers
to counted requests have the header fields RateLimit-Policy and RateLimit (draft-ietf-httpapi-ratelimit-headers-11), the
gateway appends its own items to them. Beyond a quota the answer is 429 `throttled` with `Retry-After`.

django-ratelimit has one switch for all limits while the cache does not answer, which has no effect with django-redis
(its issue 333): each request would be answered with 500. Here each quota declares what it does (`Fails`).
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django_ratelimit.core import get_usage
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from pangaea import caching, modules
from pangaea.api import describing
from pangaea.api.describing import Operation
from pangaea.errors import Throttled
from pangaea.identity.client_address import client_network
from pangaea.identity.principal import Principal
from pangaea.modules import Fails, Plan, Quota

if TYPE_CHECKING:
    from rest_framework.views import APIView  # the settings make APIView import this file

POLICY, STATE = "RateLimit-Policy", "RateLimit"
"""The header fields: the quotas that apply, and what is left of each."""
VIOLATED = "violated-policies"
"""The member of a problem document that names the exceeded quotas, as the draft (6) spells it."""

counts: Counter[tuple[str, str]] = Counter()
"""The requests since this process's start that were not simply counted, by quota and outcome: `refused` because the
quota was exceeded; `passed uncounted` or `refused uncounted` because the cache did not answer."""
_counting = threading.Lock()


def policy_item(name: str, *, quota: int, window: int) -> str:
    """An item of RateLimit-Policy: this many requests within a window of this many seconds."""
    return f'"{name}";q={quota};w={window}'


def state_item(name: str, *, remaining: int, reset: int) -> str:
    """An item of RateLimit: the requests that are left, and the seconds until the whole quota is available again."""
    return f'"{name}";r={remaining};t={reset}'


@dataclass(frozen=True, slots=True)
class Usage:
    """What a caller has used of a quota, the present request included."""

    quota: Quota
    used: int
    allowed: int
    reset: int
    """Seconds until the next window."""

    @property
    def is_exceeded(self) -> bool:
        """Whether the present request is beyond the quota."""
        return self.used > self.allowed

    @property
    def remaining(self) -> int:
        """The requests that are left."""
        return max(0, self.allowed - self.used)


@dataclass(slots=True)
class _Answer:
    """The fields of the answer to one request."""

    policies: list[str] = field(default_factory=list)
    states: list[str] = field(default_factory=list)


_ANSWER = "pangaea.rate_limits"
"""The key of a request's `META` with its _Answer. No header can set it."""


class QuotaThrottle(BaseThrottle):
    """Counts the request for each quota of its route that applies, in their order."""

    def allow_request(self, request: Request, view: "APIView") -> bool:
        """True. Raises Throttled for an exceeded quota; CacheUnavailable where one fails closed and cannot count."""
        del view
        quotas = list(quotas_of(request.path_info, request.method))
        if not quotas:
            return True
        caller, plan = _caller_of(request)
        answer = request.META[_ANSWER] = _Answer([_policy(quota, plan) for quota in quotas])
        for quota in quotas:
            usage = _count(request, quota, caller=caller, plan=plan)
            if usage is None:
                continue
            answer.states.append(state_item(quota.name, remaining=usage.remaining, reset=usage.reset))
            if usage.is_exceeded:
                _note(quota, "refused")
                raise Throttled(
                    "throttled",
                    f"The quota {quota.name}, {usage.allowed} requests, is used up. Wait as Retry-After states.",
                    retry_after=timedelta(seconds=usage.reset),
                    **{VIOLATED: [quota.name]},
                )
        return True


class RateLimitMiddleware:
    """Adds the header fields to every answer to a request that was counted: those of other middlewares too."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self._get_response(request)
        answer: _Answer | None = request.META.get(_ANSWER)
        if answer is not None:
            for name, items in ((POLICY, answer.policies), (STATE, answer.states)):
                if items:
                    response.headers[name] = ", ".join(items)
        return response


def quotas_of(path: str, method: str | None) -> Iterator[Quota]:
    """The quotas that a request of this method counts for."""
    route = modules.route_of(path)
    for quota in route.quotas if route else ():
        if not (quota.changes_only and method in SAFE_METHODS):
            yield quota


def describe(view: "APIView", method: str, operation: Operation) -> None:
    """Add the header fields: those of the route's quotas, and those of the gateway, where one is before the process."""
    policy: dict[str, Any] = {
        "description": "The limits of the caller, a gateway's too: `q` requests within a window of `w` seconds. "
        "(draft-ietf-httpapi-ratelimit-headers-11)",
        "schema": {"type": "string"},
        "example": policy_item("gateway", quota=6000, window=60),
    }
    state: dict[str, Any] = {
        "description": "What is left: `r` requests, and `t` seconds until the whole limit is available again. A limit "
        "that cannot be counted at present is absent.",
        "schema": {"type": "string"},
        "example": state_item("gateway", remaining=5999, reset=1),
    }
    for name, header in ((POLICY, policy), (STATE, state)):
        describing.add_header(operation, name, header, statuses=("*",))
    if quotas := list(quotas_of(view.request.path_info, method)):
        example = ", ".join([*(_policy(quota, Plan.FREE) for quota in quotas), policy["example"]])
        describing.add_header(operation, POLICY, policy | {"required": True, "example": example}, statuses=("2XX",))


def _policy(quota: Quota, plan: Plan) -> str:
    return policy_item(quota.name, quota=_allowed(quota, plan), window=_seconds(quota))


def _allowed(quota: Quota, plan: Plan) -> int:
    factor: int = settings.PANGAEA.quota_factor
    return quota.allowed(plan) * factor


def _seconds(quota: Quota) -> int:
    return int(quota.per.total_seconds())


def _caller_of(request: Request) -> tuple[str, Plan]:
    """The key of the caller's counts, and the plan."""
    if isinstance(request.user, Principal):
        return f"subject {request.user.subject}", request.user.plan
    return f"network {client_network(request)}", Plan.FREE


def _count(request: Request, quota: Quota, *, caller: str, plan: Plan) -> Usage | None:
    """Count the request. None if the cache does not answer and the quota fails open; else raises CacheUnavailable."""
    allowed, window = _allowed(quota, plan), _seconds(quota)

    def count() -> dict[str, int]:
        # The library joins group, rate and key without separators.
        found: dict[str, int] = get_usage(
            request, group=f"{quota.name} ", key=lambda *_: f" {caller} ", rate=(allowed, window), increment=True
        )
        if not found["limit"]:
            # The library's answer where its key was dropped between two commands: Redis was full or emptied.
            raise caching.CacheUnavailable("The count was lost.")
        return found

    try:
        found = caching.asked(count)
    except caching.CacheUnavailable:
        if quota.fails is Fails.CLOSED:
            _note(quota, "refused uncounted")
            raise
        _note(quota, "passed uncounted")
        return None
    # In the second at which the window ends, the library still counts for it.
    return Usage(quota, used=found["count"], allowed=allowed, reset=found["time_left"] + 1)


def _note(quota: Quota, outcome: str) -> None:
    with _counting:
        counts[quota.name, outcome] += 1
