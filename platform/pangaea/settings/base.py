"""Django's settings, composed from what the environment declares. The profiles differ only in what they pass here."""

from typing import Any

from django.core.exceptions import ImproperlyConfigured

from pangaea import databases, modules
from pangaea.settings import admin, edge
from pangaea.settings.declared import Declared

DJANGO_APPS = [
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
]


def compose(declared: Declared, *, database_urls: dict[str, str], debug: bool) -> dict[str, Any]:
    """Django's settings for one process. `database_urls` maps each alias to its URL.

    Besides these a profile sets PANGAEA, the configuration itself, and PANGAEA_IN_PROCESS: whether runserver carries
    the messages too.
    """
    labels = installed_labels(declared)
    return {
        "DEBUG": debug,
        "SECRET_KEY": declared.secret_key,
        "ALLOWED_HOSTS": list(declared.allowed_hosts),
        "CSRF_TRUSTED_ORIGINS": list(declared.csrf_trusted_origins),
        "INSTALLED_APPS": [
            "pangaea",
            "pangaea.ops",
            *(f"{declared.modules_package}.{label}" for label in labels),
            *DJANGO_APPS,
        ],
        "MIDDLEWARE": [
            *edge.MIDDLEWARE_HEAD,
            "django.middleware.security.SecurityMiddleware",
            "whitenoise.middleware.WhiteNoiseMiddleware",
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.common.CommonMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "django.contrib.messages.middleware.MessageMiddleware",
            "django.middleware.clickjacking.XFrameOptionsMiddleware",
        ],
        "ROOT_URLCONF": "pangaea.urls",
        "WSGI_APPLICATION": "pangaea.wsgi.application",
        "TEMPLATES": [
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "APP_DIRS": True,
                "OPTIONS": {
                    "context_processors": [
                        "django.template.context_processors.request",
                        "django.contrib.auth.context_processors.auth",
                        "django.contrib.messages.context_processors.messages",
                    ],
                },
            },
        ],
        "DATABASES": databases.configure(
            database_urls, shared_url=declared.database_url, connection_age=declared.database_connection_age
        ),
        "DATABASE_ROUTERS": ["pangaea.databases.Router"],
        "DEFAULT_AUTO_FIELD": "django.db.models.BigAutoField",
        "AUTH_USER_MODEL": "ops.Operator",
        "AUTH_PASSWORD_VALIDATORS": [
            {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
            {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
            {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
            {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
        ],
        "CACHES": {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}},
        "LANGUAGE_CODE": "en-us",
        "TIME_ZONE": "UTC",
        "USE_I18N": True,
        "USE_TZ": True,
        "SILENCED_SYSTEM_CHECKS": edge.SILENCED_SYSTEM_CHECKS,
        "STATIC_URL": "/static/",
        # Every worker serves the admin's files from where they are installed: no collectstatic step to forget.
        "WHITENOISE_USE_FINDERS": True,
        "SESSION_COOKIE_SECURE": declared.secure_cookies,
        "CSRF_COOKIE_SECURE": declared.secure_cookies,
        "SECURE_PROXY_SSL_HEADER": ("HTTP_X_FORWARDED_PROTO", "https") if declared.trust_forwarded_proto else None,
        "SECURE_REFERRER_POLICY": "same-origin",
        "REST_FRAMEWORK": edge.REST_FRAMEWORK,
        "SPECTACULAR_SETTINGS": edge.SPECTACULAR_SETTINGS,
        "UNFOLD": admin.UNFOLD,
        "LOGGING_CONFIG": edge.LOGGING_CONFIG,
        "LOGGING": edge.logging_config(declared.log_level, json=not debug),
    }


def installed_labels(declared: Declared) -> list[str]:
    """The modules this process runs. Raises ImproperlyConfigured for a name that is no package in `modules/`."""
    present = modules.discover(declared.modules_package)
    unknown = sorted(set(declared.modules) - set(present))
    if unknown:
        there = ", ".join(present) or "none"
        message = f"PANGAEA_MODULES names {', '.join(unknown)}; in {declared.modules_package} there are: {there}."
        raise ImproperlyConfigured(message)
    return list(declared.modules) or present


def urls_from(environ: dict[str, str], declared: Declared) -> dict[str, str]:
    """The URL of every alias: `<MODULE>_DATABASE_URL`, else DATABASE_URL. A lone module's own one holds `ops` too."""
    labels = installed_labels(declared)
    own = {label: databases.own_url(environ, label) for label in labels}
    missing = [f"{label.upper()}_DATABASE_URL" for label in labels if not (own[label] or declared.database_url)]
    if missing:
        raise ImproperlyConfigured("The configuration is incomplete:\n  - set DATABASE_URL, or " + ", ".join(missing))
    lone = own[labels[0]] if len(labels) == 1 else ""
    default = declared.database_url or lone
    if not default:
        why = "set DATABASE_URL: with several modules, the operators' tables need it."
        raise ImproperlyConfigured(f"The configuration is incomplete:\n  - {why}")
    return {"default": default} | {label: own[label] or declared.database_url for label in labels}


def hardened(declared: Declared) -> dict[str, Any]:
    """What a deployment that strangers reach adds. Raises ImproperlyConfigured naming everything unsafe at once."""
    wrong = []
    if len(declared.secret_key) < 50 or len(set(declared.secret_key)) < 5:  # noqa: PLR2004 - Django's own measure, W009
        wrong.append("SECRET_KEY is short or repetitive: 50 random characters or more.")
    if "*" in declared.allowed_hosts:
        wrong.append("ALLOWED_HOSTS is '*', which lets anybody forge links: name the hosts.")
    if not declared.broker_url.startswith(("amqp://", "amqps://", "redis://", "rediss://", "unix://")):
        wrong.append(
            "BROKER_URL must be amqp(s):// or redis(s)://: other processes cannot reach a bus inside this one."
        )
    if not (declared.signing_key or declared.jwks_url):
        wrong.append("SIGNING_KEY (where users runs) or JWKS_URL (elsewhere) is needed to verify access tokens.")
    if wrong:
        raise ImproperlyConfigured("The configuration is incomplete or unsafe:\n  - " + "\n  - ".join(wrong))
    return {"SESSION_COOKIE_HTTPONLY": True, "SECURE_HSTS_SECONDS": 0 if not declared.secure_cookies else 31_536_000}
