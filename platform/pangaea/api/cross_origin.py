"""What web pages of other origins may do (CORS): one policy, for Django's settings and for the gateway.

The origins are the setting CORS_ORIGINS. Tokens are sent in a header and never in a cookie, so a page gets only what it
has a token for; the admin, which has cookies, is exempt. A preflight is answered without a token: by the gateway, or
where there is none by django-cors-headers.
"""

from typing import Any

from pangaea.configuration.declared import Declared

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
REQUEST_HEADERS = (
    *("accept", "accept-language", "authorization", "content-type", "idempotency-key", "prefer", "range"),
    *("if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "cache-control", "x-requested-with"),
    # Tracing: W3C's, Sentry's, Zipkin's, and our own.
    *("traceparent", "tracestate", "baggage", "sentry-trace", "b3", "x-correlation-id", "x-request-id"),
)
"""The headers that a page may send, besides those that need no permission."""
RESPONSE_HEADERS = (
    *(
        "allow",
        "content-disposition",
        "content-location",
        "deprecation",
        "etag",
        "idempotent-replayed",
        "link",
        "location",
        "retry-after",
    ),
    *("sunset", "www-authenticate", "x-correlation-id", "x-request-id", "ratelimit", "ratelimit-policy"),
)
"""The headers of an answer that a page may read."""
MAX_AGE = 600
"""Seconds for which a browser may remember a preflight. A removed origin works at most this long."""


def settings(declared: Declared) -> dict[str, Any]:
    """The settings of django-cors-headers."""
    return {
        "CORS_ALLOWED_ORIGINS": list(declared.cors_origins),
        "CORS_ALLOW_METHODS": METHODS,
        "CORS_ALLOW_HEADERS": REQUEST_HEADERS,
        "CORS_EXPOSE_HEADERS": RESPONSE_HEADERS,
        "CORS_PREFLIGHT_MAX_AGE": MAX_AGE,
        "CORS_URLS_REGEX": r"^(?!/admin/)",
    }
