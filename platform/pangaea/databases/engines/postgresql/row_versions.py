"""The triggers of rows' versions: one per table, which raises the version before the row is written."""

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import truncate_name
from psycopg import sql

NAME = "pangaea_version"
"""The trigger of every table that has a version. Its argument is the column."""
NAME_LENGTH = 63

_TRIGGERS = """
SELECT relname, rtrim(encode(tgargs, 'escape'), '\\000')
FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid
WHERE relnamespace = current_schema()::regnamespace AND tgname = %s AND tgenabled IN ('O', 'A')
"""
_CREATE = sql.SQL("""
CREATE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS $version$
BEGIN
    IF NEW.{column} <= OLD.{column} THEN
        NEW.{column} := OLD.{column} + 1;
    END IF;
    RETURN NEW;
END
$version$;
CREATE TRIGGER {name} BEFORE UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION {function}({argument})
""")


def triggers(connection: BaseDatabaseWrapper) -> set[tuple[str, str]]:
    """The tables of the connection's schema that have an enabled trigger, and the column that it raises."""
    with connection.cursor() as cursor:
        cursor.execute(_TRIGGERS, [NAME])
        return set(cursor.fetchall())


def create_trigger(connection: BaseDatabaseWrapper, table: str, column: str) -> None:
    """Create the table's trigger and its function. A disabled or an outdated one is replaced."""
    drop_trigger(connection, table)
    with connection.cursor() as cursor:
        cursor.execute(
            _CREATE.format(
                function=_function_of(table),
                column=sql.Identifier(column),
                name=sql.Identifier(NAME),
                table=sql.Identifier(table),
                argument=sql.Literal(column),
            )
        )


def drop_trigger(connection: BaseDatabaseWrapper, table: str) -> None:
    """Remove the table's trigger and its function."""
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL("DROP FUNCTION IF EXISTS {} CASCADE").format(_function_of(table)))


def _function_of(table: str) -> sql.Identifier:
    return sql.Identifier(truncate_name(f"{NAME}_{table}", NAME_LENGTH))
