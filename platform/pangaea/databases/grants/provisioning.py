"""Create the roles and schemas that the aliases lack."""

from collections.abc import Iterable
from contextlib import closing
from copy import deepcopy
from typing import Any

import psycopg
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from psycopg import sql

from pangaea.databases import aliases
from pangaea.databases.engines.postgresql import direct
from pangaea.databases.engines.postgresql.entry import startup_options
from pangaea.databases.entries import POSTGRESQL
from pangaea.databases.grants.rights import rights_of


def verify(wanted: Iterable[str]) -> None:
    """Raise Django's OperationalError if a connection of one of these aliases is not as its settings ask.

    The alias's role and schemas may still be missing. Changes nothing.
    """
    for alias in wanted:
        connection = connections[alias]
        if connection.settings_dict["ENGINE"] != POSTGRESQL:
            continue
        entry = deepcopy(connection.settings_dict)
        own = entry["PANGAEA"]
        if own["role"]:
            # A connection that asks for a missing role fails.
            own["role"] = None
            entry["OPTIONS"]["options"] = startup_options(own, own["schema"])
        with closing(type(connection)(entry, alias)) as trial:
            trial.ensure_connection()


def provision(wanted: Iterable[str] | None = None) -> None:
    """Create the roles and schemas that are missing in PostgreSQL. If none is missing, no special right is needed.

    Raises ImproperlyConfigured, with all the statements for an administrator, if this login lacks the right.
    """
    refused: list[str] = []
    for alias, statements in unprovisioned(wanted).items():
        try:
            _provision(alias)
        except psycopg.errors.InsufficientPrivilege:
            refused += statements
    if refused:
        joined = ";\n  ".join(refused)
        message = f"The database user may not prepare its schemas. Let an administrator run:\n  {joined};"
        raise ImproperlyConfigured(message)


def unprovisioned(wanted: Iterable[str] | None = None) -> dict[str, list[str]]:
    """The aliases that lack a role or a schema, each with the statements that create them. Changes nothing."""
    lacking = {}
    for alias in wanted if wanted is not None else aliases.installed():
        if connections[alias].settings_dict["ENGINE"] == POSTGRESQL:
            with direct.connect(alias, as_role=False) as connection:
                statements = [each.as_string(connection) for each in _missing(alias, connection)]
            if statements:
                lacking[alias] = statements
    return lacking


def _provision(alias: str) -> None:
    with direct.connect(alias, as_role=False) as connection, connection.transaction():
        # Without this lock, two processes that migrate at once would both create them.
        connection.execute("SELECT pg_advisory_xact_lock(hashtext('pangaea.provision'))")
        for statement in _missing(alias, connection):
            connection.execute(statement)


def _missing(alias: str, connection: "psycopg.Connection[Any]") -> list[sql.Composed]:
    # A login may become a role when it connects (`permissions`); the role then owns what the login creates.
    ((owner,),) = connection.execute("SELECT current_user").fetchall()
    rights = rights_of(alias, owner=owner, login=connection.info.user)
    return [each.statement for each in rights if connection.execute(each.done).fetchone() != (True,)]
