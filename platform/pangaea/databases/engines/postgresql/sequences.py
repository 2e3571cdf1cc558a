"""Sequences that are behind the ids in their tables, so that inserts fail until the sequence has passed the ids in use.

Tables that were restored without their sequences have such, and a replica that logical replication filled.
"""

import structlog
from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import sql

from pangaea.databases.engines.base import LateSequence

log = structlog.get_logger()

_SEQUENCES = """
SELECT s.relname, t.relname, a.attname
FROM pg_depend AS d
JOIN pg_class AS s ON s.oid = d.objid AND s.relkind = 'S'
JOIN pg_class AS t ON t.oid = d.refobjid
JOIN pg_attribute AS a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid
WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
      AND t.relnamespace = current_schema()::regnamespace
ORDER BY t.relname
"""
_STATE = sql.SQL(
    "SELECT {sequence_text}, {table_text}, last_value + is_called::int, (SELECT max({column}) FROM {table})"
    " FROM {sequence}"
)


def late(connection: BaseDatabaseWrapper) -> list[LateSequence]:
    """The sequences of the connection's schema that would next give an id up to the highest in use. Two queries."""
    with connection.cursor() as cursor:
        cursor.execute(_SEQUENCES)
        names = cursor.fetchall()
        if not names:
            return []
        cursor.execute(sql.SQL(" UNION ALL ").join(_state_of(*each) for each in names))
        return [LateSequence(*row) for row in cursor.fetchall() if row[3] is not None and row[2] <= row[3]]


def advance(connection: BaseDatabaseWrapper) -> None:
    """Let each of these sequences continue after the highest id in use."""
    for each in late(connection):
        with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
            # An insert draws its id under a lock that this one waits for: no id in use is still uncommitted.
            cursor.execute(sql.SQL("LOCK TABLE {} IN EXCLUSIVE MODE").format(sql.Identifier(each.table)))
            for current in late(connection):
                if current.sequence == each.sequence:
                    cursor.execute(
                        "SELECT setval(%s::regclass, %s)", [sql.Identifier(each.sequence).as_string(), current.highest]
                    )
                    log.warning(
                        "sequence advanced", module=connection.alias, sequence=each.sequence, to=current.highest
                    )


def _state_of(sequence: str, table: str, column: str) -> sql.Composed:
    return _STATE.format(
        sequence_text=sql.Literal(sequence),
        table_text=sql.Literal(table),
        sequence=sql.Identifier(sequence),
        table=sql.Identifier(table),
        column=sql.Identifier(column),
    )
