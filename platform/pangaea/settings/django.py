"""Django's settings, composed from a profile's configuration. The profiles declare how they differ."""

import os
from typing import Any

from pangaea import caching
from pangaea.api import cross_origin, request_limits
from pangaea.configuration import reading
from pangaea.databases import entries
from pangaea.settings import http, operators

DJANGO_APPS = [
    # Without unfold's own site: the operators' site is in `pangaea.ops.log_in`.
    "unfold.apps.BasicAppConfig",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "corsheaders",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
]


def compose(name: str) -> dict[str, Any]:
    """Django's settings for one process in the profile of that name. Raises ImproperlyConfigured.

    Besides Django's own settings there are PANGAEA (the configuration), PANGAEA_IN_PROCESS (whether runserver also runs
    a relay and a worker) and PANGAEA_ADMIN (the path of the admin).
    """
    configuration = reading.load(name, os.environ)
    declared, profile, labels = configuration.declared, configuration.profile, configuration.labels
    # Several services behind one gateway have separate static files and log-ins.
    own_path = f"/{configuration.admin_path}" if profile.shares_host else "/"
    return {
        "PANGAEA": declared,
        "PANGAEA_IN_PROCESS": profile.in_process,
        "PANGAEA_ADMIN": configuration.admin_path,
        "DEBUG": profile.in_process,
        "SECRET_KEY": declared.secret_key,
        "SECRET_KEY_FALLBACKS": list(declared.secret_key_fallbacks),
        "ALLOWED_HOSTS": list(declared.allowed_hosts),
        # The gateway's limit too.
        "DATA_UPLOAD_MAX_MEMORY_SIZE": request_limits.MAX_BODY,
        "CSRF_TRUSTED_ORIGINS": list(declared.csrf_trusted_origins),
        "INSTALLED_APPS": [
            "pangaea",
            "pangaea.identity",
            "pangaea.ops",
            *(f"{declared.modules_package}.{label}" for label in labels),
            *DJANGO_APPS,
        ],
        "MIDDLEWARE": [
            *http.MIDDLEWARE_HEAD,
            "django.middleware.security.SecurityMiddleware",
            "whitenoise.middleware.WhiteNoiseMiddleware",
            "pangaea.ops.sessions.SessionMiddleware",
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
        "DATABASES": entries.configure(
            configuration.database_urls,
            shared_url=declared.database_url,
            direct_urls=configuration.direct_urls,
            connection_age=declared.database_connection_age,
            answer_timeout=declared.database_answer_timeout,
        ),
        "CACHES": caching.configure(declared),
        "DATABASE_ROUTERS": ["pangaea.databases.router.Router"],
        "DEFAULT_AUTO_FIELD": "django.db.models.BigAutoField",
        "AUTH_USER_MODEL": "ops.Operator",
        # Unfold's log-in form names no next page unless the operator was redirected to it.
        "LOGIN_REDIRECT_URL": "admin:index",
        "PASSWORD_HASHERS": ["pangaea.identity.password_hashing.BoundedPBKDF2"],
        "AUTH_PASSWORD_VALIDATORS": [
            {"NAME": "pangaea.identity.password_spelling.VisibleCharacters"},
            {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
            {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
            {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
            {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
        ],
        "TIME_ZONE": "UTC",
        "FORMAT_MODULE_PATH": "pangaea.settings.formats",
        "SILENCED_SYSTEM_CHECKS": http.SILENCED_SYSTEM_CHECKS,
        "STATIC_URL": f"{own_path}static/",
        "SESSION_COOKIE_PATH": own_path,
        "CSRF_COOKIE_PATH": own_path,
        # Every web process serves the admin's files from the installed packages, so no collectstatic can be forgotten.
        "WHITENOISE_USE_FINDERS": True,
        "SESSION_COOKIE_SECURE": declared.secure_cookies,
        "SESSION_COOKIE_AGE": round(declared.admin_idle_timeout.total_seconds()),
        # The age counts from the last request, not from the log-in. Only the admin's requests have a session.
        "SESSION_SAVE_EVERY_REQUEST": True,
        "CSRF_COOKIE_SECURE": declared.secure_cookies,
        "SECURE_HSTS_SECONDS": 31_536_000 if profile.deployed and declared.secure_cookies else 0,
        "SECURE_PROXY_SSL_HEADER": ("HTTP_X_FORWARDED_PROTO", "https") if declared.trust_forwarded_proto else None,
        **cross_origin.settings(declared),
        "REST_FRAMEWORK": http.REST_FRAMEWORK,
        "SPECTACULAR_SETTINGS": http.SPECTACULAR_SETTINGS,
        "UNFOLD": operators.unfold(
            labels, shares_host=profile.shares_host, documents_public=declared.api_documents_public
        ),
        "LOGGING_CONFIG": http.LOGGING_CONFIG,
        "LOGGING": http.logging_config(declared.log_level, json=declared.log_format == "json"),
    }
