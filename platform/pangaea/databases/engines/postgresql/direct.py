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

ADDRESS = {"host": "HOST", "port": "PORT", "dbname": "NAME", "user": "USER", "password": "PASSWORD"}
"""libpq's names, each with Django's."""
NOT_LIBPQS = {"isolation_level"}
"""The options of an entry that are for psycopg or Django."""


def address(alias: str) -> tuple[str, ...]:
    """The database that `connect` reaches, and its login: host, port, name and user."""
    entry = connections[alias].settings_dict
    direct: PostgreSQL | None = entry["PANGAEA"]["direct"]
    if direct:
        return direct.host, direct.port, direct.database, direct.user
    return tuple(str(entry[name]) for name in ("HOST", "PORT", "NAME", "USER"))


def libpq(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Libpq's parameters for an alias's entry, past a pooler if a direct URL is set."""
    own = entry["PANGAEA"]
    if own["direct"]:
        text = startup_options({**own, "options": _options_of(entry)}, own["schema"])
        params = own["limits"] | own["direct"].libpq() | {"options": text}
    else:
        address = {name: entry[key] for name, key in ADDRESS.items() if entry[key]}
        params = {name: value for name, value in entry["OPTIONS"].items() if name not in NOT_LIBPQS} | address
    return {**params, "client_encoding": "UTF8"}


def _options_of(entry: Mapping[str, Any]) -> Mapping[str, str]:
    """The settings in the query of the URL."""
    own = entry["PANGAEA"]
    found: Mapping[str, str] = own["direct"].options if own["direct"] else own["options"]
    return found


def connect(
    alias: str, *, as_role: bool = True, autocommit: bool = True, parameters: Mapping[str, int] | None = None
) -> "psycopg.Connection[Any]":
    """Open a connection to an alias's database, which the caller closes.

    It bypasses a pooler if a direct URL is set. `parameters` are libpq's; they are added to those of the alias. Without
    `as_role` it has neither the module's role nor its schema. Otherwise, raises OperationalError if the connection is
    not as the settings ask (see `isolation`). Errors are raised as Django's (`marked`).
    """
    entry = connections[alias].settings_dict
    params = libpq(entry) | dict(parameters or {})
    if not as_role:
        params["options"] = options.text_of(_options_of(entry))
    with marked(alias):
        connection = psycopg.connect(**params, autocommit=True)
        try:
            if as_role:
                isolation.verify(connection, alias, entry["PANGAEA"])
            connection.autocommit = autocommit
        except BaseException:
            connection.close()
            raise
        return connection


def marked(alias: str) -> AbstractContextManager[None]:
    """Raise psycopg's errors inside as Django's, marked as errors of this alias (`pangaea.databases.errors`)."""
    return cast("AbstractContextManager[None]", connections[alias].wrap_database_errors)
