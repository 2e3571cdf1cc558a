"""Capture on PostgreSQL: statement triggers with transition tables write one message per changed row, set-wise."""

from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import truncate_name

from pangaea.change_capture.declaration import Capture, Kind
from pangaea.change_capture.sql import NULL, PREFIX, Dialect, at, literal, quoted
from pangaea.databases import aliases

NAME_LENGTH = 63
RFC_3339 = """'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'"""
CORRELATION_ID = "coalesce(nullif(current_setting('pangaea.correlation_id', true), ''), gen_random_uuid()::text)"
"""A writer gives its changes a correlation id by `SET LOCAL pangaea.correlation_id = …`."""

# A session that holds this lock on the outbox truncates it in the same statement, as `manage.py flush` does. Then no
# history remains that could lack the deletions.
REFUSE_TRUNCATE = """
BEGIN
    IF EXISTS (
        SELECT FROM pg_locks
        WHERE pid = pg_backend_pid() AND mode = 'AccessExclusiveLock' AND relation = {outbox}::regclass
    ) THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION 'TRUNCATE of % is refused: its rows are published, and their deletion would not be.',
        TG_TABLE_NAME USING HINT = 'Use DELETE.', ERRCODE = 'feature_not_supported';
END
"""
CAPTURE = """
DECLARE
    changed_keys text[] := ARRAY(SELECT DISTINCT key FROM ({changed}) AS changed);
BEGIN
    IF cardinality(changed_keys) > 0 THEN
        -- The locks come before the ids are drawn: else two writers could be sequenced against their commits.
        PERFORM {schema}.pangaea_lock_keys(changed_keys);
        {insert};
    END IF;
    RETURN NULL;
END
"""


class PostgreSQL(Dialect):
    """The SQL of one module's schema."""

    def __init__(self, alias: str) -> None:
        self.schema = quoted(aliases.schema_of(alias))
        self.outbox = f"{self.schema}.pangaea_outbox"

    def triggers(self, capture: Capture) -> dict[str, str]:
        events = {
            "insert": "AFTER INSERT ON {table} REFERENCING NEW TABLE AS inserted",
            "update": "AFTER UPDATE ON {table} REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows",
            "delete": "AFTER DELETE ON {table} REFERENCING OLD TABLE AS deleted",
            "truncate": "BEFORE TRUNCATE ON {table}",
        }
        table = f"{self.schema}.{quoted(capture.table)}"
        return {
            name: f"CREATE FUNCTION {self.schema}.{quoted(name)}() RETURNS trigger LANGUAGE plpgsql "
            f"SECURITY INVOKER SET search_path = {self.schema}, pg_temp AS $capture${source}$capture$;\n"
            f"CREATE TRIGGER {quoted(name)} {events[event].format(table=table)} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION {self.schema}.{quoted(name)}();"
            for event, (name, source) in self._sources(capture).items()
        }

    def expected(self, capture: Capture) -> dict[str, str]:
        unquoted = self.schema.strip('"')  # the server keeps only the quotes that a name needs
        frame = f"{capture.table}\nenabled\nsearch_path={unquoted}, pg_temp\n"
        return {name: frame + source for name, source in self._sources(capture).values()}

    def installed(self, connection: BaseDatabaseWrapper) -> dict[str, str]:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT tgname, concat_ws(E'\\n', relname, CASE WHEN tgenabled IN ('O', 'A') THEN 'enabled' END, "
                "replace(array_to_string(proconfig, ' '), '\"', ''), prosrc) FROM pg_trigger "
                "JOIN pg_class ON pg_class.oid = tgrelid JOIN pg_proc ON pg_proc.oid = tgfoid "
                "WHERE relnamespace = to_regnamespace(%s) AND starts_with(tgname, %s) AND NOT prosecdef",
                [self.schema, PREFIX],
            )
            return dict(cursor.fetchall())

    def remove(self, connection: BaseDatabaseWrapper) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT proname FROM pg_proc WHERE pronamespace = to_regnamespace(%s) AND starts_with(proname, %s)",
                [self.schema, PREFIX],
            )
            for (name,) in cursor.fetchall():
                cursor.execute(f"DROP FUNCTION {self.schema}.{quoted(name)}() CASCADE")

    def snapshot(self, capture: Capture) -> str:
        found = (
            f"SELECT {self.key(capture, 'r')} AS key, {at('r', capture.identity)} AS identity, 'snapshot' AS op, "  # noqa: S608 - from a declaration
            f"{NULL} AS before, {self.image(capture, 'r')} AS after FROM {self.schema}.{quoted(capture.table)} AS r"
        ).replace("%", "%%")
        chosen = f"WHERE {at('r', capture.identity)} = ANY(%s) AND {self.key(capture, 'r')} = ANY(%s::text[])"
        return self._insert(capture, f"{found} {chosen}")

    def parameters(self, capture: Capture, identities: list[Any], keys: list[str], /) -> list[Any]:
        del capture
        return [identities, keys]

    def value(self, kind: Kind, column: str, places: int) -> str:
        match kind:
            case Kind.TEXT:
                return f"to_json({column})::text"
            case Kind.UUID | Kind.DECIMAL:
                return f"'\"' || {column}::text || '\"'"
            case Kind.DATETIME:
                return f"'\"' || to_char({column} AT TIME ZONE 'UTC', {RFC_3339}) || '\"'"
            case Kind.DATE:
                return f"'\"' || to_char({column}, 'YYYY-MM-DD') || '\"'"
        return f"{column}::text"

    def key_text(self, kind: Kind, column: str) -> str:
        del kind
        return f'{column}::text COLLATE "C"'

    def _sources(self, capture: Capture) -> dict[str, tuple[str, str]]:
        """Per event: the name that the trigger and its function share, and the body of the function."""
        key, image, identity = self.key, self.image, capture.identity
        old, new = at("o", identity), at("n", identity)
        one = (
            "SELECT {key} AS key, {identity} AS identity, '{op}' AS op, "
            "{before} AS before, {after} AS after FROM {rows}"
        )
        before, after = (", ".join(at(row, column) for column in capture.columns) for row in "on")
        changed = {
            "insert": one.format(
                key=key(capture, "n"),
                identity=new,
                op="create",
                before=NULL,
                after=image(capture, "n"),
                rows="inserted AS n",
            ),
            "update": (
                f"SELECT coalesce({key(capture, 'n')}, {key(capture, 'o')}) AS key, "  # noqa: S608 - from a declaration
                f"coalesce({new}, {old}) AS identity, "
                f"CASE WHEN {old} IS NULL THEN 'create' WHEN {new} IS NULL THEN 'delete' ELSE 'update' END AS op, "
                f"CASE WHEN {old} IS NULL THEN {NULL} ELSE {image(capture, 'o')} END AS before, "
                f"CASE WHEN {new} IS NULL THEN {NULL} ELSE {image(capture, 'n')} END AS after "
                f"FROM old_rows AS o FULL JOIN new_rows AS n ON {old} = {new} "
                f"AND {at('o', capture.key)} = {at('n', capture.key)} "
                f"WHERE {old} IS NULL OR {new} IS NULL OR ROW({before}) IS DISTINCT FROM ROW({after})"
            ),
            "delete": one.format(
                key=key(capture, "o"),
                identity=old,
                op="delete",
                before=image(capture, "o"),
                after=NULL,
                rows="deleted AS o",
            ),
        }
        bodies = {
            event: CAPTURE.format(changed=each, schema=self.schema, insert=self._insert(capture, each))
            for event, each in changed.items()
        }
        bodies["truncate"] = REFUSE_TRUNCATE.format(outbox=literal(self.outbox))
        return {
            event: (truncate_name(f"{PREFIX}{capture.table}_{event}", NAME_LENGTH), body)
            for event, body in bodies.items()
        }

    def _insert(self, capture: Capture, changed: str) -> str:
        """The statement that inserts one message per changed row. Within a key, deletions come first."""
        audience, name = self.constants(capture)
        body = self.body(
            capture,
            id_="id::text",
            time=f"to_char(clock_timestamp() AT TIME ZONE 'UTC', {RFC_3339})",
            correlation_id="correlation_id",
        )
        return (
            f"INSERT INTO {self.outbox} {self.columns_of_the_outbox()} "  # noqa: S608 - from a declaration
            f"SELECT id, {audience}, key, {name}, {body}, clock_timestamp() FROM ("
            f"SELECT changed.*, gen_random_uuid() AS id, (SELECT {CORRELATION_ID}) AS correlation_id "
            f"FROM ({changed}) AS changed ORDER BY key, op <> 'delete', identity) AS message"
        )
