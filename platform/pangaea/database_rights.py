"""The roles, databases and grants that the aliases of this process need in PostgreSQL, for an administrator.

A database belongs to the role that logs in there, and nobody else may connect. Roles and schemas inside are those of
`pangaea.databases`, which makes them by itself where it may.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import psycopg
from django.db import connections
from psycopg import conninfo, sql

from pangaea import databases
from pangaea.databases import Right
from pangaea.errors import Misconfigured

HEADER = """\
-- Each module's place in PostgreSQL, rendered by `manage.py permissions render --postgres` from the installed modules
-- and their database URLs. For an administrator: psql --set ON_ERROR_STOP=1 --file THIS_FILE. It may run again.
-- The roles that log in have no password yet: \\password NAME
"""


@dataclass(frozen=True, slots=True)
class Database:
    """A database, who logs in there, and the rights of the aliases in it."""

    name: str
    login: str
    password: str
    rights: list[Right] = field(default_factory=list)

    def foundation(self, *, secret: str = "") -> Iterator[Right]:
        """The role that logs in and its database; `secret` is the role's password, as PostgreSQL stores it."""
        login, name = sql.Identifier(self.login), sql.Identifier(self.name)
        never = sql.SQL("SELECT false").format()
        create = sql.SQL("CREATE ROLE {} LOGIN").format(login)
        there = sql.SQL("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = {})").format(sql.Literal(self.login))
        yield Right(create, there, repeatable=False)
        if secret:
            yield Right(sql.SQL("ALTER ROLE {} PASSWORD {}").format(login, sql.Literal(secret)), never)
        there = sql.SQL("SELECT EXISTS (SELECT FROM pg_database WHERE datname = {})").format(sql.Literal(self.name))
        yield Right(sql.SQL("CREATE DATABASE {} OWNER {}").format(name, login), there, repeatable=False)
        yield Right(sql.SQL("REVOKE CONNECT ON DATABASE {} FROM PUBLIC").format(name), never)
        yield Right(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(name, login), never)


def wanted() -> list[Database]:
    """What the installed modules' URLs ask for. Raises Misconfigured where one is not PostgreSQL's."""
    found: dict[tuple[str, str], Database] = {}
    for alias in databases.aliases():
        entry = connections[alias].settings_dict
        if entry["ENGINE"] != databases.POSTGRESQL:
            raise Misconfigured(f"The database of {alias!r} is not PostgreSQL: set DATABASE_URL to postgres://…")
        address = entry["PANGAEA"]["direct"] or entry
        name, login = str(address["NAME"]), str(address["USER"])
        if not login:
            raise Misconfigured(f"The database URL of {alias!r} does not say who logs in: postgres://USER:…")
        database = found.setdefault((name, login), Database(name, login, str(address["PASSWORD"])))
        database.rights.extend(databases.rights_of(alias, login=login))
    return list(found.values())


def render() -> str:
    """All of it as a script for psql, without passwords. Raises Misconfigured for another engine."""
    lines = [HEADER]
    for database in wanted():
        lines += [_for_psql(each) for each in database.foundation()]
        # psql reads a quoted name as SQL does.
        lines.append(f"\\connect {sql.Identifier(database.name).as_string()}")
        lines += [_for_psql(each) for each in database.rights]
        lines.append("")
    return "\n".join(lines)


def apply(administrator_url: str) -> None:
    """Make what is missing, and give each login its URL's password. Raises Misconfigured when the server refuses.

    `administrator_url` is of one server, which holds all the databases.
    """
    try:
        conninfo.conninfo_to_dict(administrator_url)
    except psycopg.ProgrammingError:
        # libpq quotes what it cannot read, password and all.
        raise Misconfigured(
            "The administrator's URL is not PostgreSQL's: postgresql://USER:PASSWORD@HOST/postgres"
        ) from None
    try:
        for database in wanted():
            with psycopg.connect(administrator_url, autocommit=True) as connection:
                secret = (
                    database.password
                    and connection.pgconn.encrypt_password(
                        database.password.encode(), database.login.encode(), b"scram-sha-256"
                    ).decode()
                )
                _execute(connection, database.foundation(secret=secret))
            inside = conninfo.make_conninfo(administrator_url, dbname=database.name)
            with psycopg.connect(inside, autocommit=True) as connection:
                _execute(connection, iter(database.rights))
    except psycopg.Error as error:
        raise Misconfigured(f"PostgreSQL refused: {error}") from error


def _execute(connection: "psycopg.Connection[tuple[object, ...]]", rights: Iterator[Right]) -> None:
    for each in rights:
        if connection.execute(each.done).fetchone() != (True,):
            connection.execute(each.statement)


def _for_psql(right: Right) -> str:
    statement = right.statement.as_string()
    if right.repeatable:
        return f"{statement};"
    return f"SELECT {sql.Literal(statement).as_string()} WHERE NOT ({right.done.as_string()}) \\gexec"
