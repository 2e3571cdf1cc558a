"""Which services may call this one, by the SPIFFE id in the certificate of their connection (ACCEPTED_CALLERS).

That a certificate comes from our authority was checked in the handshake; any module has one of those.
"""

from collections.abc import Callable
from http import HTTPStatus

import structlog
from django.conf import settings
from django.core.exceptions import MiddlewareNotUsed
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from pangaea import modules
from pangaea.api.problems import Problem, ProblemResponse
from pangaea.identity import spiffe
from pangaea.identity.mutual_tls import PeerSocket

log = structlog.get_logger()


class CallerMiddleware:
    """Refuses everybody who is not accepted, probes included, with `caller_not_accepted`. Absent where TLS is off.

    Headers play no part: who calls is what the connection's certificate says, and a connection without one is refused.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        declared = settings.PANGAEA
        if not declared.tls_certificate:
            raise MiddlewareNotUsed
        self._get_response = get_response
        self._trust_domain = declared.trust_domain
        self._accepted = spiffe.identities(declared.trust_domain, declared.accepted_callers)
        self._for_modules = tuple(
            route.path for module in modules.installed() for route in module.routes if route.for_modules
        )

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        caller = caller_of(request)
        if caller is not None and (caller in self._accepted or self._is_for(caller, request.path_info)):
            return self._get_response(request)
        log.warning("caller not accepted", caller=caller, path=request.path_info)
        problem = Problem(
            status=HTTPStatus.FORBIDDEN,
            code="caller_not_accepted",
            detail=f"This service does not accept calls from {caller or 'a caller without a SPIFFE id'}.",
        )
        return ProblemResponse(problem, path=request.path)

    def _is_for(self, caller: str, path: str) -> bool:
        """Whether the path is one that every service of this trust domain may read."""
        return path in self._for_modules and spiffe.is_module_of(self._trust_domain, caller)


def caller_of(request: HttpRequest) -> str | None:
    """The SPIFFE id of the service at the other end of the request's connection; None for one that shows none."""
    peer = request.META.get("gunicorn.socket")
    return peer.identity if isinstance(peer, PeerSocket) else None
