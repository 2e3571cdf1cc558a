"""What PostgreSQL has, compared with the rights of the modules: what is missing, and what is more than they need.

The catalogues are readable by every login, so the modules' own logins look.
"""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg
from psycopg import sql

from pangaea.databases.aliases import schema_of, shadow_schema_of
from pangaea.databases.engines.postgresql import direct
from pangaea.databases.grants import administration, rights
from pangaea.databases.grants.administration import Database, Login

Connection = psycopg.Connection[Any]

_ATTRIBUTES = """
SELECT rolname, concat_ws(', ', CASE WHEN rolsuper THEN 'SUPERUSER' END, CASE WHEN rolcreaterole THEN 'CREATEROLE' END,
    CASE WHEN rolcreatedb THEN 'CREATEDB' END, CASE WHEN rolreplication THEN 'REPLICATION' END,
    CASE WHEN rolbypassrls THEN 'BYPASSRLS' END)
FROM pg_roles WHERE rolname = ANY (%s) ORDER BY rolname
"""
_MEMBERSHIPS = """
SELECT r.rolname FROM pg_auth_members AS a JOIN pg_roles AS r ON r.oid = a.roleid JOIN pg_roles AS m ON m.oid = a.member
WHERE m.rolname = %s AND r.rolname <> ALL (%s) ORDER BY 1
"""
_OWNERS = "SELECT nspname, pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = ANY (%s) ORDER BY 1"
_BECOMES = """
SELECT EXISTS (SELECT FROM pg_db_role_setting AS s JOIN pg_roles AS r ON r.oid = s.setrole
    LEFT JOIN pg_database AS d ON d.oid = s.setdatabase
    WHERE r.rolname = %s AND coalesce(d.datname, current_database()) = current_database() AND %s = ANY (s.setconfig))
"""
_OF_ALL = """
SELECT has_database_privilege('public', current_database(), 'CONNECT'),
       has_database_privilege('public', current_database(), 'TEMPORARY'),
       has_schema_privilege('public', 'public', 'CREATE'), pg_get_userbyid(datdba)
FROM pg_database WHERE datname = current_database()
"""


def differences() -> list[str]:
    """Each difference as a sentence. Raises Misconfigured for another engine, Django's error without an answer."""
    found: list[str] = []
    for database in administration.wanted():
        with closing(direct.connect(database.logins[0].aliases[0], as_role=False)) as connection:
            found += _of_database(connection, database)
            for login in database.logins:
                found += _of_login(connection, login)
    return found


def _of_database(connection: Connection, database: Database) -> Iterator[str]:
    ((may_connect, may_create_temporary, may_create, owner),) = connection.execute(_OF_ALL).fetchall()
    if may_connect or may_create_temporary:
        yield f"Every login of the server may connect to the database {database.name}, or create temporary tables."
    if may_create:
        yield f"Every login may create tables in the schema public of the database {database.name}."
    roles = {role for login in database.logins for role in (login.name, *login.owners.values())}
    if len(database.logins) > 1 and owner in roles:
        yield f"The database {database.name} belongs to {owner}, which may drop it with the schemas of all modules."


def _of_login(connection: Connection, login: Login) -> Iterator[str]:
    owners = {alias: role or login.name for alias, role in login.owners.items()}
    roles = sorted({login.name, *owners.values()})
    yield from _more_than_needed(connection, login, roles)
    if login.role and connection.execute(_BECOMES, [login.name, f"role={login.role}"]).fetchone() != (True,):
        yield f"{login.name} does not become {login.role} when it connects."
    for alias, owner in owners.items():
        for right in rights.rights_of(alias, owner=owner, login=login.name):
            if connection.execute(right.done).fetchone() != (True,):
                yield f"Missing: {right.statement.as_string(connection)}."
        for schema, present in connection.execute(_OWNERS, [[schema_of(alias), shadow_schema_of(alias)]]).fetchall():
            if present != owner:
                yield f"The schema {schema} belongs to {present}: ALTER SCHEMA {schema} OWNER TO {owner}."


def _more_than_needed(connection: Connection, login: Login, roles: list[str]) -> Iterator[str]:
    for role, attributes in connection.execute(_ATTRIBUTES, [roles]).fetchall():
        if attributes:
            yield f"{role} is {attributes}, which no module needs."
    for role in roles:
        for (other,) in connection.execute(_MEMBERSHIPS, [role, roles]).fetchall():
            yield f"{role} is a member of {other}, and may do what that role may."
        others = administration.OTHERS.format(role=sql.Literal(role), login=sql.Literal(login.name))
        for (other,) in connection.execute(others).fetchall():
            yield f"{other} is a member of {role}, and may read and write its schemas: see --withdraw-other-logins."
