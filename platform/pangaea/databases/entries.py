"""URL -> an alias's entry in Django's DATABASES: engine, schema and role.

PostgreSQL: a schema with the name of the alias (`ops` for `default`). On a shared URL, a connection takes the module's
role (`<database>_<module>`) when it starts, as PostgREST's authenticator does. On a URL of its own, a module has its
own login, which becomes the role that owns its schema if `permissions` created such a role. SQLite: one file per alias.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from environ import Env

from pangaea.databases.aliases import installed, schema_of
from pangaea.databases.engines.postgresql import entry as postgresql
from pangaea.databases.engines.sqlite import entry as sqlite

POSTGRESQL, SQLITE = postgresql.ENGINE, sqlite.ENGINE
ANSWER_TIMEOUT = timedelta(seconds=20)
"""The default time after which a connection whose peer does not answer at the TCP level is given up."""


def configure(
    urls: Mapping[str, str],
    *,
    shared_url: str = "",
    direct_urls: Mapping[str, str] | None = None,
    connection_age: timedelta = timedelta(0),
    answer_timeout: timedelta = ANSWER_TIMEOUT,
) -> dict[str, dict[str, Any]]:
    """Django's DATABASES for these aliases. An alias on `shared_url` takes a role of its own.

    The URL of an alias in `direct_urls` leads to a transaction pooler; its direct URL leads to the database itself.
    """
    entries = {}
    for alias, url in urls.items():
        parsed, direct = _parsed(alias, url), (direct_urls or {}).get(alias, "")
        parsed["TEST"] = {"DEPENDENCIES": []}
        if "sqlite" in str(parsed["ENGINE"]):
            entries[alias] = sqlite.entry(parsed)
            continue
        if parsed["ENGINE"] != "django.db.backends.postgresql":
            message = f"The database URL of {alias!r} must be postgres:// (or sqlite:///); it gives {parsed['ENGINE']}."
            raise ImproperlyConfigured(message)
        entries[alias] = postgresql.entry(
            parsed,
            schema=schema_of(alias),
            is_shared=url == shared_url,
            direct=_parsed(alias, direct) if direct else {},
            connection_age=connection_age,
            answer_timeout=answer_timeout,
        )
    return entries


def _parsed(alias: str, url: str) -> dict[str, Any]:
    try:
        return dict(Env.db_url_config(url))
    except ValueError as error:
        message = (
            f"The database URL of {alias!r} is malformed ({error}). Expected postgres://user:password@host:5432/name."
        )
        raise ImproperlyConfigured(message) from error


def limit_waits() -> None:
    """Set the configured time-outs of statements and lock waits, on connections that are opened from now on.

    Only web, relay and worker call it. A migration, a snapshot or a rebuild takes the time that it needs.
    """
    own = settings.PANGAEA
    for alias in installed():
        entry = connections.settings[alias]
        if entry["ENGINE"] == POSTGRESQL:
            postgresql.limit_waits(entry, statement=own.database_statement_timeout, lock=own.database_lock_timeout)
