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

from pangaea.addresses import postgresql as postgresql_address
from pangaea.addresses import sqlite as sqlite_address
from pangaea.databases.aliases import installed, schema_of
from pangaea.databases.engines.postgresql import entry as postgresql
from pangaea.databases.engines.sqlite import entry as sqlite
from pangaea.errors import Misconfigured

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
    Raises ImproperlyConfigured, with the alias and the remedy, for a URL that cannot work.
    """
    entries = {}
    for alias, url in urls.items():
        direct = (direct_urls or {}).get(alias, "")
        try:
            if url.startswith(sqlite_address.PREFIX):
                entry = sqlite.entry(sqlite_address.parse(url))
            else:
                entry = postgresql.entry(
                    postgresql_address.parse(url),
                    schema=schema_of(alias),
                    is_shared=url == shared_url,
                    direct=postgresql_address.parse(direct) if direct else None,
                    connection_age=connection_age,
                    answer_timeout=answer_timeout,
                )
        except Misconfigured as error:
            raise ImproperlyConfigured(f"The database URL of {alias!r} {error}") from error
        entries[alias] = entry | {"TEST": {"DEPENDENCIES": []}}
    return entries


def limit_waits() -> None:
    """Set the configured time-outs of statements and lock waits, on connections that are opened from now on.

    Only web, relay and worker call it. A migration, a snapshot or a rebuild takes the time that it needs.
    """
    own = settings.PANGAEA
    for alias in installed():
        entry = connections.settings[alias]
        if entry["ENGINE"] == POSTGRESQL:
            postgresql.limit_waits(entry, statement=own.database_statement_timeout, lock=own.database_lock_timeout)
