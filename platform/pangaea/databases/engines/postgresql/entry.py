"""A module's entry in Django's DATABASES: a schema and a role in a database."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import psycopg

ENGINE = "pangaea.databases.engines.postgresql"


def entry(
    parsed: dict[str, Any],
    *,
    schema: str,
    is_shared: bool,
    direct: dict[str, Any],
    connection_age: timedelta,
    answer_timeout: timedelta,
) -> dict[str, Any]:
    """The entry for a URL, given as Django has parsed it. On a shared URL the module takes a role of its own.

    `direct` is the parsed URL that bypasses a transaction pooler; empty if there is none.
    """
    # A pooler may call the database by another name.
    name = (direct or parsed)["NAME"]
    own: dict[str, Any] = {
        "schema": schema,
        "role": f"{name}_{schema}" if is_shared else "",
        "session": answer_limits(answer_timeout, prefix="tcp_"),
        "direct": direct,
    }
    return parsed | {
        "ENGINE": ENGINE,
        "OPTIONS": {
            # A host that drops packets would otherwise hold a request, and /readyz, for minutes.
            "connect_timeout": 3,
            **answer_limits(answer_timeout),
            **parsed.get("OPTIONS", {}),
            "options": startup_options(own, schema),
            # Sent with each BEGIN too: a pooler may lend a session whose default another client has changed.
            "isolation_level": psycopg.IsolationLevel.READ_COMMITTED,
        },
        "CONN_MAX_AGE": connection_age.total_seconds(),
        "CONN_HEALTH_CHECKS": True,
        # Behind a pooler the next transaction may run in another session, without this one's cursors and statements.
        "DISABLE_SERVER_SIDE_CURSORS": bool(direct) or parsed.get("DISABLE_SERVER_SIDE_CURSORS", False),
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
    options = {
        "search_path": schema,
        "default_transaction_isolation": "read\\ committed",
        "standard_conforming_strings": "on",
        **own["session"],
    }
    if own["role"]:
        options["role"] = own["role"]
    return " ".join(f"-c {name}={value}" for name, value in options.items())


def limit_waits(existing: dict[str, Any], *, statement: timedelta, lock: timedelta) -> None:
    """Set time-outs for statements and for their lock waits, on connections that are opened from now on."""
    own = existing["PANGAEA"]
    limits = {"statement_timeout": statement, "lock_timeout": lock}
    own["session"] |= {name: round(limit.total_seconds() * 1000) for name, limit in limits.items()}
    existing["OPTIONS"]["options"] = startup_options(own, own["schema"])
