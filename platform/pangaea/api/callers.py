"""Which services may call this one, by the SPIFFE id in the certificate of their connection (ACCEPTED_CALLERS).

The TLS handshake has verified that our authority signed the certificate. Every module has a certificate of that
authority, so the SPIFFE id alone decides whether a caller is accepted.
"""

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

import structlog
from django.conf import settings
from django.core.exceptions import MiddlewareNotUsed
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from pangaea import modules
from pangaea.api.problems import Problem, ProblemResponse
from pangaea.configuration.declared import Declared
from pangaea.credentials import spiffe

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class AcceptedCallers:
    """The services that may call this process, and the paths that they may call.

    Services whose SPIFFE id is in `identities` may call every path. Every other service of the trust domain is a module
    and may call the paths in `for_modules`.
    """

    trust_domain: str
    identities: frozenset[str]
    for_modules: frozenset[str]

    @classmethod
    def of(cls, declared: Declared) -> "AcceptedCallers":
        """Read the identities from the configuration, and the paths from the installed modules' routes."""
        return cls(
            trust_domain=declared.trust_domain,
            identities=frozenset(spiffe.identities(declared.trust_domain, declared.accepted_callers)),
            for_modules=frozenset(
                route.path for module in modules.installed() for route in module.routes if route.for_modules
            ),
        )

    def may_connect(self, caller: str | None) -> bool:
        """Whether there is a path that this SPIFFE id may call."""
        return caller is not None and (
            caller in self.identities or (bool(self.for_modules) and spiffe.is_module_of(self.trust_domain, caller))
        )

    def may_call(self, caller: str | None, path: str) -> bool:
        """Whether this SPIFFE id may send a request for this path."""
        return self.may_connect(caller) and (caller in self.identities or path in self.for_modules)

    @staticmethod
    def refusal(caller: str | None) -> Problem:
        """The answer to a caller that is not accepted."""
        return Problem(
            status=HTTPStatus.FORBIDDEN,
            code="caller_not_accepted",
            detail=f"This service does not accept calls from {caller or 'a caller without a SPIFFE id'}.",
        )


class CallerMiddleware:
    """Answers callers that are not accepted, probes included, with 403 `caller_not_accepted`. Unused where TLS is off.

    Headers are ignored: the connection's certificate identifies the caller, and a connection without one is refused.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        if not settings.PANGAEA.tls_certificate:
            raise MiddlewareNotUsed
        self._get_response = get_response
        self._callers = AcceptedCallers.of(settings.PANGAEA)

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        caller = caller_of(request)
        if self._callers.may_call(caller, request.path_info):
            return self._get_response(request)
        log.warning("caller not accepted", caller=caller, path=request.path_info)
        return ProblemResponse(self._callers.refusal(caller), path=request.path)


def caller_of(request: HttpRequest) -> str | None:
    """The SPIFFE id in the client certificate of the request's connection; None if there is none."""
    # The web process's connection (pangaea.processes.web.client_connections); no header can set this key.
    return getattr(request.META.get("gunicorn.socket"), "identity", None)
