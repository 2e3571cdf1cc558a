"""A module's entry in Django's DATABASES: a schema and a role in a database."""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import psycopg

from pangaea.addresses import options
from pangaea.addresses.postgresql import PostgreSQL, role_of

ENGINE = "pangaea.databases.engines.postgresql"


def entry(
    address: PostgreSQL,
    *,
    schema: str,
    is_shared: bool,
    direct: PostgreSQL | None,
    connection_age: timedelta,
    answer_timeout: timedelta,
) -> dict[str, Any]:
    """The entry for an address. If that is shared, the module takes a role of its own.

    `direct` is the address that bypasses a transaction pooler. Raises Misconfigured if the role's name would be cut.
    """
    # A pooler may call the database by another name.
    role = role_of((direct or address).database, schema) if is_shared else ""
    own: dict[str, Any] = {
        "schema": schema,
        "role": role,
        "session": answer_limits(answer_timeout, prefix="tcp_"),
        # A host that drops packets would otherwise hold a request, and /readyz, for minutes.
        "limits": {"connect_timeout": 3, **answer_limits(answer_timeout)},
        "options": address.options,
        "direct": direct,
    }
    return {
        "ENGINE": ENGINE,
        "HOST": address.host,
        "PORT": address.port,
        "NAME": address.database,
        "USER": address.user,
        "PASSWORD": address.password,
        "OPTIONS": {
            **own["limits"],
            **address.parameters,
            "options": startup_options(own, schema),
            # Sent with each BEGIN too: a pooler may lend a session whose default another client has changed.
            "isolation_level": psycopg.IsolationLevel.READ_COMMITTED,
        },
        "CONN_MAX_AGE": connection_age.total_seconds(),
        "CONN_HEALTH_CHECKS": True,
        # Behind a pooler the next transaction may run in another session, without this one's cursors and statements.
        "DISABLE_SERVER_SIDE_CURSORS": direct is not None,
        "PANGAEA": own,
    }


def answer_limits(limit: timedelta, *, prefix: str = "") -> dict[str, int]:
    """TCP settings with which either end gives up an unresponsive peer after about `limit`, instead of after hours.

    Both ends need them, the server because it holds the locks of a client whose machine has failed. libpq's names have
    no prefix.
    """
    seconds = limit.total_seconds()
    interval = max(1, round(seconds / 6))
    return {
        f"{prefix}keepalives_idle": max(1, round(seconds) - 3 * interval),
        f"{prefix}keepalives_interval": interval,
        f"{prefix}keepalives_count": 3,
        "tcp_user_timeout": round(seconds * 1000),  # if it is set, it decides instead of the count
    }


def startup_options(own: Mapping[str, Any], schema: str) -> str:
    """The options with which a connection of an alias starts. `own` is the alias's PANGAEA entry.

    The connection has the alias's role, and looks names up in `schema` only. The kernel's locks need READ COMMITTED,
    whatever the server's default is: after waiting for a lock, the next statement has to see what the other transaction
    committed.
    """
    settings = {
        "search_path": schema if re.fullmatch(r"[a-z_][a-z0-9_]*", schema) else f'"{schema}"',
        "default_transaction_isolation": "read committed",
        "standard_conforming_strings": "on",
        **own["session"],
        # After the kernel's limits, so that those of the URL are in force.
        **own["options"],
    }
    if own["role"]:
        settings["role"] = own["role"]
    return options.text_of(settings)


def limit_waits(existing: dict[str, Any], *, statement: timedelta, lock: timedelta) -> None:
    """Set time-outs for statements and for their lock waits, on connections that are opened from now on."""
    own = existing["PANGAEA"]
    limits = {"statement_timeout": statement, "lock_timeout": lock}
    own["session"] |= {name: round(limit.total_seconds() * 1000) for name, limit in limits.items()}
    existing["OPTIONS"]["options"] = startup_options(own, own["schema"])
