"""psycopg connections that Django does not manage. They bypass a pooler if a direct URL is set."""

from collections.abc import Mapping
from typing import Any

import psycopg
from django.db import connections

from pangaea.databases.engines.postgresql import isolation

DIRECT_PARAMETERS = {"host": "HOST", "port": "PORT", "dbname": "NAME", "user": "USER", "password": "PASSWORD"}
"""The parameters that a direct URL replaces: libpq's names, each with Django's."""


def address(alias: str) -> tuple[str, ...]:
    """The database that `connect` reaches, and its login: host, port, name and user."""
    entry = connections[alias].settings_dict
    return tuple(str((entry["PANGAEA"]["direct"] or entry)[name]) for name in ("HOST", "PORT", "NAME", "USER"))


def connect(
    alias: str, *, as_role: bool = True, autocommit: bool = True, parameters: Mapping[str, int] | None = None
) -> "psycopg.Connection[Any]":
    """Open a connection to an alias's database, which the caller closes.

    It bypasses a pooler if a direct URL is set. `parameters` are libpq's; they are added to those of the alias. Without
    `as_role` it has neither the module's role nor its schema. Otherwise, raises OperationalError if the connection is
    not as the settings ask (see `isolation`).
    """
    params: dict[str, Any] = connections[alias].get_connection_params()
    if direct := connections[alias].settings_dict["PANGAEA"]["direct"]:
        own = {name: direct[key] for name, key in DIRECT_PARAMETERS.items() if direct[key]}
        params = {name: params[name] for name in params if name not in DIRECT_PARAMETERS} | own
        params.update(direct.get("OPTIONS", {}))
    if not as_role:
        params.pop("options", None)
    for django_only in ("cursor_factory", "context", "prepare_threshold", "server_side_binding", "isolation_level"):
        params.pop(django_only, None)
    params.pop("assume_role", None)
    params.update(parameters or {})
    connection = psycopg.connect(**params, autocommit=True)
    try:
        if as_role:
            isolation.verify(connection, alias, connections[alias].settings_dict["PANGAEA"])
        connection.autocommit = autocommit
    except BaseException:
        connection.close()
        raise
    return connection
