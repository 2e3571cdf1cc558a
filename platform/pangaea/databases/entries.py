"""URL -> an alias's entry in Django's DATABASES: engine, schema and role.

PostgreSQL: a schema named like the alias (`ops` for `default`). With a shared URL the connection takes the module's
role (`<database>_<module>`) at start, as PostgREST's authenticator does; with a URL of its own a module logs in as
itself, and becomes the role that owns its schema where `permissions` made one. SQLite: one file per alias.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import psycopg
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from environ import Env

from pangaea.databases.aliases import installed, schema_of

POSTGRESQL = "pangaea.databases.backends.postgresql"
SQLITE = "pangaea.databases.backends.sqlite"
ANSWER_TIMEOUT = timedelta(seconds=20)
"""How long the other end of a connection may not answer on TCP's level, unless a setting says otherwise."""


def configure(
    urls: Mapping[str, str],
    *,
    shared_url: str = "",
    direct_urls: Mapping[str, str] | None = None,
    connection_age: timedelta = timedelta(0),
    answer_timeout: timedelta = ANSWER_TIMEOUT,
) -> dict[str, dict[str, Any]]:
    """Django's DATABASES for these installed. An alias on `shared_url` takes a role of its own there.

    An alias in `direct_urls` reaches its database through a pooler of transactions, and past it by that URL.
    """
    direct = direct_urls or {}
    return {
        alias: _entry(
            alias,
            url,
            shared=url == shared_url,
            direct=direct.get(alias, ""),
            age=connection_age,
            answer_timeout=answer_timeout,
        )
        for alias, url in urls.items()
    }


def _parsed(alias: str, url: str) -> dict[str, Any]:
    try:
        return dict(Env.db_url_config(url))
    except ValueError as error:
        message = (
            f"The database URL of {alias!r} is malformed ({error}). Expected postgres://user:password@host:5432/name."
        )
        raise ImproperlyConfigured(message) from error


def _entry(
    alias: str, url: str, *, shared: bool, direct: str, age: timedelta, answer_timeout: timedelta
) -> dict[str, Any]:
    entry = _parsed(alias, url)
    entry["TEST"] = {"DEPENDENCIES": []}
    if "sqlite" in str(entry["ENGINE"]):
        return entry | {
            "ENGINE": SQLITE,
            "OPTIONS": {
                "transaction_mode": "IMMEDIATE",
                "timeout": 20,
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA recursive_triggers=ON;",
            },
        }
    if entry["ENGINE"] != "django.db.backends.postgresql":
        message = f"The database URL of {alias!r} must be postgres:// (or sqlite:///); it gives {entry['ENGINE']}."
        raise ImproperlyConfigured(message)
    schema = schema_of(alias)
    past_pooler = _parsed(alias, direct) if direct else {}
    # A pooler may call the database by another name.
    name = (past_pooler or entry)["NAME"]
    own: dict[str, Any] = {
        "schema": schema,
        "role": f"{name}_{schema}" if shared else "",
        "session": _given_up_after(answer_timeout, prefix="tcp_"),
        "direct": past_pooler,
    }
    return entry | {
        "ENGINE": POSTGRESQL,
        "OPTIONS": {
            # A host that drops packets would otherwise hold a request, and /readyz, for minutes.
            "connect_timeout": 3,
            **_given_up_after(answer_timeout, prefix=""),
            **entry.get("OPTIONS", {}),
            "options": startup_options(own, schema),
            # Sent with each BEGIN too: a pooler may drop the options above.
            "isolation_level": psycopg.IsolationLevel.READ_COMMITTED,
        },
        "CONN_MAX_AGE": age.total_seconds(),
        "CONN_HEALTH_CHECKS": True,
        # The next transaction may be another session's: it has no cursor and no prepared statement of this one.
        "DISABLE_SERVER_SIDE_CURSORS": bool(direct) or entry.get("DISABLE_SERVER_SIDE_CURSORS", False),
        "PANGAEA": own,
    }


def _given_up_after(limit: timedelta, *, prefix: str) -> dict[str, int]:
    """TCP's settings by which an end that waits for the other gives up after about that time; else it takes hours.

    Both ends need them: the server holds the locks of a client that is gone. libpq's have no prefix.
    """
    seconds = limit.total_seconds()
    interval = max(1, round(seconds / 6))
    return {
        f"{prefix}keepalives_idle": max(1, round(seconds) - 3 * interval),
        f"{prefix}keepalives_interval": interval,
        f"{prefix}keepalives_count": 3,
        "tcp_user_timeout": round(seconds * 1000),
    }


def startup_options(own: Mapping[str, Any], schema: str) -> str:
    """What a connection of an alias asks for at its start, from the alias's PANGAEA entry.

    Names are looked up in that schema alone, as the alias's role. READ COMMITTED is what the kernel's locks are made
    for: after a wait the next statement sees what the other transaction has committed, whatever the server's default.
    """
    wanted = {"search_path": schema, "default_transaction_isolation": "read\\ committed", **own["session"]}
    if own["role"]:
        wanted["role"] = own["role"]
    return " ".join(f"-c {name}={value}" for name, value in wanted.items())


def limit_waits() -> None:
    """Let statements of connections that are opened from here on, and their waits for locks, end after their settings.

    For processes that serve: web, relay and worker. A migration, a snapshot or a rebuild takes the time it needs.
    """
    limits = {
        "statement_timeout": settings.PANGAEA.database_statement_timeout,
        "lock_timeout": settings.PANGAEA.database_lock_timeout,
    }
    for alias in installed():
        entry = connections.settings[alias]
        if entry["ENGINE"] == POSTGRESQL:
            own = entry["PANGAEA"]
            own["session"] |= {name: round(limit.total_seconds() * 1000) for name, limit in limits.items()}
            entry["OPTIONS"]["options"] = startup_options(own, own["schema"])
