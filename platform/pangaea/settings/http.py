"""Django's settings for requests and responses: the first middlewares, DRF, API documents, logging."""

from typing import Any

MIDDLEWARE_HEAD = [
    # Outermost, so that every other log line and every error carries the request's id.
    "pangaea.telemetry.access_log.AccessLogMiddleware",
    # Around everything that may respond.
    "pangaea.api.cache_control.CacheControlMiddleware",
    # Before every middleware that may respond.
    "pangaea.api.content_security.ContentSecurityMiddleware",
    # Before every middleware that may respond, so that errors of a deprecated version announce its end too.
    "pangaea.api.versioning.VersionMiddleware",
    # Before every middleware that may respond, the probes included.
    "pangaea.api.callers.CallerMiddleware",
    # Before every middleware that may answer a browser, so that the page can read why it was refused.
    "corsheaders.middleware.CorsMiddleware",
    # Before every middleware that reads the host or redirects to https: probes use an IP address and no TLS.
    "pangaea.health.probes.ProbeMiddleware",
    # Before every middleware that works: a refusal costs as little as possible.
    "pangaea.api.shaping.ShapingMiddleware",
    # Around the rest, so that no error leaves an API path as HTML.
    "pangaea.api.fallback.ProblemMiddleware",
    "pangaea.api.rate_limits.RateLimitMiddleware",
]

LOGGING_CONFIG = "pangaea.telemetry.logs.configure"

SILENCED_SYSTEM_CHECKS = [
    "security.W005",  # whether every subdomain speaks TLS is the decision of the domain's owner, not of one service
    "security.W008",  # TLS ends at the gateway, so redirecting is its task; probes and services connect without TLS
    "security.W021",  # preloading a domain into browsers is the owner's decision too
    "urls.W002",  # a module's patterns begin with a slash, because a route's path ends without one
]

REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["pangaea.identity.authentication.BearerAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_THROTTLE_CLASSES": ["pangaea.api.rate_limits.QuotaThrottle"],
    "DEFAULT_PARSER_CLASSES": ["pangaea.api.parsers.JSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "pangaea.api.negotiation.AcceptsJSON",
    "DEFAULT_METADATA_CLASS": "pangaea.api.metadata.AllowedMethods",
    "DEFAULT_PAGINATION_CLASS": "pangaea.api.pagination.CursorPage",
    "DEFAULT_SCHEMA_CLASS": "pangaea.api.openapi.auto_schema.AutoSchema",
    "EXCEPTION_HANDLER": "pangaea.api.problems.exception_handler",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
    # There is one format, so no URL selects another.
    "URL_FORMAT_OVERRIDE": None,
    "FORMAT_SUFFIX_KWARG": None,
}

SPECTACULAR_SETTINGS: dict[str, Any] = {
    "OAS_VERSION": "3.1.1",
    "TITLE": "Pangaea",
    "VERSION": "1",
    "DESCRIPTION": (
        "Every error is a problem document (RFC 9457). Its `code` is stable: the examples of an answer are named after "
        "the codes that it may have. Ignore members and codes that you do not know: more of them may come at any time. "
        "Addresses in answers are relative references (RFC 3986, 4.2)."
    ),
    "CONTACT": {"name": "The Pangaea authors"},
    "LICENSE": {"name": "MIT", "identifier": "MIT"},
    "SERVERS": [{"url": "/", "description": "The server of this document."}],
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_AUTHENTICATION": [],
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "SCHEMA_PATH_PREFIX": "/api/",
    "COMPONENT_SPLIT_REQUEST": True,
    "PATH_CONVERTER_OVERRIDES": {"id": {"type": "string", "format": "uuid"}},
    "POSTPROCESSING_HOOKS": [
        # Instead of spectacular's own hook, which names enums by field across modules: another `status` renames all.
        "pangaea.api.openapi.document.leave_enums_in_place",
    ],
}


def logging_config(level: str, *, json: bool) -> dict[str, Any]:
    """A dictConfig that logs everything to standard error through structlog, as JSON lines or as coloured text."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"structured": {"()": "pangaea.telemetry.logs.formatter", "json": json}},
        "filters": {"traceback": {"()": "pangaea.telemetry.logs.OnlyWithTraceback"}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "structured"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            # Django's defaults give it handlers of its own, which would print every line a second time.
            "django": {"handlers": []},
            # Django logs every 4xx and 5xx, which the access log has too. Only tracebacks of unhandled errors are kept.
            "django.request": {"filters": ["traceback"]},
            # Django's defaults give it a handler that prints raw what a client sent.
            "django.server": {"handlers": [], "propagate": True, "level": "ERROR"},
            # Celery logs two uninformative lines per batch; its warnings matter.
            "celery": {"level": "WARNING"},
            # At DEBUG it prints every query with its parameters, which are customers' data.
            "django.db.backends": {"level": "INFO"},
        },
    }
