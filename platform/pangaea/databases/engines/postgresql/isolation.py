"""What keeps modules apart in one server, looked at after connecting: schema, role, and the session's defaults.

A connection asks for them when it starts (`entry.startup_options`). A pooler may drop what it asks for, and a database
may have been created with an encoding that stores other characters than those of a message. Such a connection could
write into another schema, or fail at the first `é`, so it is refused before its first statement.
"""

from collections.abc import Mapping
from typing import Any

import psycopg

ENCODING = "UTF8"
DEFAULTS = {
    # The kernel's locks need it: see `entry.startup_options`.
    "default_transaction_isolation": "read committed",
    "standard_conforming_strings": "on",
    # Otherwise no trigger fires, so captured rows become no messages.
    "session_replication_role": "origin",
}

_STATE = """
SELECT current_setting('server_encoding'), current_setting('search_path'), current_user::text,
       (SELECT pg_get_userbyid(nspowner) FROM pg_namespace
        WHERE nspname = %s AND NOT pg_has_role(current_user, nspowner, 'USAGE')),
       current_setting('default_transaction_isolation'), current_setting('standard_conforming_strings'),
       current_setting('session_replication_role')
"""
"""One row; the last columns are those of DEFAULTS. A function per column is planned faster than a query over names."""

_REMEDY_OF_ENCODING = (
    "The database of {alias!r} has the encoding {encoding}, and text needs {wanted}: create a database with "
    "ENCODING '{wanted}' TEMPLATE template0, and move the data there with pg_dump."
)
_REMEDY = (
    "A connection to the database of {alias!r} is not as its settings ask: {differences}. If a pooler is in between, "
    "it drops options: connect past it, or let it set them (PgBouncer: connect_query, kept by server_reset_query)."
)
_REMEDY_OF_OWNER = (
    "The schema {schema} of {alias!r} belongs to {owner!r}, and the role {user!r} does not have that role's rights: "
    "let it own the schema and its tables (ALTER SCHEMA {schema} OWNER TO …). "
    "`manage.py permissions check --postgres` names what else differs."
)


def verify(connection: "psycopg.Connection[Any]", alias: str, own: Mapping[str, Any]) -> None:
    """Raise OperationalError if the connection is not as `own`, the alias's PANGAEA entry, asks. One round trip.

    The message names each difference and the remedy. For the kernel such a database is unavailable. A role of None is
    not compared.
    """
    ((encoding, path, user, foreign_owner, *defaults),) = connection.execute(_STATE, [own["schema"]]).fetchall()
    if encoding != ENCODING:
        raise psycopg.OperationalError(_REMEDY_OF_ENCODING.format(alias=alias, encoding=encoding, wanted=ENCODING))
    schema = own["schema"]
    found = {"search_path": (schema if path == f'"{schema}"' else path, schema)}
    if own["role"]:
        found["role"] = (user, own["role"])
    found |= {name: (value, DEFAULTS[name]) for name, value in zip(DEFAULTS, defaults, strict=True)}
    differences = [
        f"{name} is {value!r} instead of {asked!r}" for name, (value, asked) in found.items() if value != asked
    ]
    if differences:
        raise psycopg.OperationalError(_REMEDY.format(alias=alias, differences="; ".join(differences)))
    if foreign_owner and own["role"] is not None:
        text = _REMEDY_OF_OWNER.format(alias=alias, schema=schema, owner=foreign_owner, user=user)
        raise psycopg.OperationalError(text)
