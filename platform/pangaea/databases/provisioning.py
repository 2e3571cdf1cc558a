"""The schemas and roles of the aliases in PostgreSQL: which are missing, and creating them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import psycopg
from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS, connections
from psycopg import sql

from pangaea.databases import aliases, direct
from pangaea.databases.aliases import shadow_schema_of
from pangaea.databases.entries import POSTGRESQL


def provision(wanted: Iterable[str] | None = None) -> None:
    """Create the schemas and roles that are missing (PostgreSQL). Needs the right to do so only when some are.

    Without that right it raises ImproperlyConfigured with all the statements for somebody who has it.
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
    """The aliases that lack a schema or a role, each with the statements that would make them; changes nothing."""
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
        # One at a time: two processes that migrate at once would otherwise both create.
        connection.execute("SELECT pg_advisory_xact_lock(hashtext('pangaea.provision'))")
        for statement in _missing(alias, connection):
            connection.execute(statement)


def _missing(alias: str, connection: "psycopg.Connection[Any]") -> list[sql.Composed]:
    # A login may become a role when it connects (`permissions`), which then owns what it makes.
    ((owner,),) = connection.execute("SELECT current_user").fetchall()
    rights = rights_of(alias, owner=owner, login=connection.info.user)
    return [each.statement for each in rights if connection.execute(each.done).fetchone() != (True,)]


@dataclass(frozen=True, slots=True)
class Right:
    """A statement that gives an alias its place in a database, and a query that says whether that is done.

    `repeatable`: the statement may run again where it is done.
    """

    statement: sql.Composed
    done: sql.Composed
    repeatable: bool = True


def rights_of(alias: str, *, owner: str, login: str) -> list[Right]:
    """The role and the schemas of an alias (PostgreSQL), in order. `owner` owns the schemas, `login` is who connects.

    A role is made where the alias has one of its own on a shared URL; then that is the owner.
    """
    own = connections[alias].settings_dict["PANGAEA"]
    schema, role = own["schema"], own["role"]
    rights = []
    if role:
        there = sql.SQL("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = {})").format(sql.Literal(role))
        create = sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(role))
        # By name, because an administrator may have to run it.
        grant = sql.SQL("GRANT {} TO {}").format(sql.Identifier(role), sql.Identifier(login))
        rights += [Right(create, there, repeatable=False), Right(grant, is_member(login, role))]
    for each in [schema] if alias == DEFAULT_DB_ALIAS else [schema, shadow_schema_of(alias)]:
        place = sql.SQL("CREATE SCHEMA IF NOT EXISTS {} AUTHORIZATION {}")
        there = sql.SQL("SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = {})").format(sql.Literal(each))
        rights.append(Right(place.format(sql.Identifier(each), sql.Identifier(role or owner)), there))
    return rights


def is_member(login: str, role: str) -> sql.Composed:
    """A query that says whether that login may become that role."""
    named = sql.SQL("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = {}").format(sql.Literal(role))
    return named + sql.SQL(" AND pg_has_role({}, oid, 'MEMBER'))").format(sql.Literal(login))
