"""The rights of an alias, each as a statement, with a query that shows whether it has been executed."""

from dataclasses import dataclass

from django.db import DEFAULT_DB_ALIAS, connections
from psycopg import sql

from pangaea.databases.aliases import shadow_schema_of


@dataclass(frozen=True, slots=True)
class Right:
    """A statement, and the query `done` that returns true if it has been executed.

    `repeatable`: the statement may be executed again.
    """

    statement: sql.Composed
    done: sql.Composed
    repeatable: bool = True


def rights_of(alias: str, *, owner: str, login: str) -> list[Right]:
    """The rights for the role and the schemas of an alias, in order. `owner` owns the schemas, `login` connects.

    An alias on a shared URL has a role of its own, which is the owner instead of `owner`.
    """
    own = connections[alias].settings_dict["PANGAEA"]
    rights = []
    if role := own["role"]:
        # The member is named, because an administrator may have to execute the statement.
        rights += [create_role(role), grant_role(role, to=login)]
    schema = own["schema"]
    schemas = [schema] if alias == DEFAULT_DB_ALIAS else [schema, shadow_schema_of(alias)]
    return rights + [create_schema(each, owner=role or owner) for each in schemas]


def create_role(name: str, *, may_log_in: bool = False) -> Right:
    """A role, without the right to log in unless `may_log_in`."""
    kind = sql.SQL("LOGIN" if may_log_in else "NOLOGIN")
    exists = sql.SQL("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = {})").format(sql.Literal(name))
    return Right(sql.SQL("CREATE ROLE {} {}").format(sql.Identifier(name), kind), exists, repeatable=False)


def grant_role(role: str, *, to: str) -> Right:
    """The membership by which a login becomes the role."""
    is_member = sql.SQL(
        "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = {} AND pg_has_role({}, oid, 'MEMBER'))"
    ).format(sql.Literal(role), sql.Literal(to))
    return Right(sql.SQL("GRANT {} TO {}").format(sql.Identifier(role), sql.Identifier(to)), is_member)


def create_schema(name: str, *, owner: str) -> Right:
    """A schema that belongs to the owner."""
    exists = sql.SQL("SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = {})").format(sql.Literal(name))
    create = sql.SQL("CREATE SCHEMA IF NOT EXISTS {} AUTHORIZATION {}")
    return Right(create.format(sql.Identifier(name), sql.Identifier(owner)), exists)
