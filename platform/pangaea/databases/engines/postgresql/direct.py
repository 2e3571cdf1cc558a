"""psycopg connections that Django does not manage. They bypass a pooler if a direct URL is set."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, cast

import psycopg
from django.db import connections

from pangaea.addresses import options
from pangaea.addresses.postgresql import PostgreSQL
from pangaea.databases.engines.postgresql import isolation
from pangaea.databases.engines.postgresql.entry import startup_options


def address(alias: str) -> tuple[str, ...]:
    """The database that `connect` reaches, and its login: host, port, name and user."""
    entry = connections[alias].settings_dict
    direct: PostgreSQL | None = entry["PANGAEA"]["direct"]
    if direct:
        return direct.host, direct.port, direct.database, direct.user
    return tuple(str(entry[name]) for name in ("HOST", "PORT", "NAME", "USER"))


def connect(
    alias: str, *, as_role: bool = True, autocommit: bool = True, parameters: Mapping[str, int] | None = None
) -> "psycopg.Connection[Any]":
    """Open a connection to an alias's database, which the caller closes.

    It bypasses a pooler if a direct URL is set. `parameters` are libpq's; they are added to those of the alias. Without
    `as_role` it has neither the module's role nor its schema. Otherwise, raises OperationalError if the connection is
    not as the settings ask (see `isolation`). Errors are raised as Django's (`marked`).
    """
    params: dict[str, Any] = connections[alias].get_connection_params()
    own = connections[alias].settings_dict["PANGAEA"]
    if own["direct"]:
        own = {**own, "options": own["direct"].options}
        params = {**own["limits"], "client_encoding": "UTF8", **own["direct"].libpq()}
        params["options"] = startup_options(own, own["schema"])
    if not as_role:
        params["options"] = options.text_of(own["options"])
    for django_only in ("cursor_factory", "context", "prepare_threshold", "server_side_binding", "isolation_level"):
        params.pop(django_only, None)
    params.pop("assume_role", None)
    params.update(parameters or {})
    with marked(alias):
        connection = psycopg.connect(**params, autocommit=True)
        try:
            if as_role:
                isolation.verify(connection, alias, connections[alias].settings_dict["PANGAEA"])
            connection.autocommit = autocommit
        except BaseException:
            connection.close()
            raise
        return connection


def marked(alias: str) -> AbstractContextManager[None]:
    """Raise psycopg's errors inside as Django's, marked as errors of this alias (`pangaea.databases.errors`)."""
    return cast("AbstractContextManager[None]", connections[alias].wrap_database_errors)
