"""Capture on SQLite: row triggers that write the same messages. SQLite has no transition tables and needs no locks."""

import json
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from pangaea.change_capture.declaration import Capture, Kind
from pangaea.change_capture.sql import NULL, PREFIX, Dialect, at, quoted

# Random values must be drawn once per row. SQLite merges a subquery into its query, and copies the expression to each
# use of its name, but not a subquery that has an OFFSET.
DRAWN = (
    "lower(hex(randomblob(16))) AS drawn, substr('89ab', 1 + (random() & 3), 1) AS variant, "
    "lower(hex(randomblob(16))) AS correlated"
)
NOT_MERGED = "LIMIT -1 OFFSET 0"
ID = "substr(drawn, 1, 12) || '4' || substr(drawn, 14, 3) || variant || substr(drawn, 18)"
RFC_3339 = "%Y-%m-%dT%H:%M:%f000Z"
DJANGO = "%Y-%m-%d %H:%M:%f000"


class SQLite(Dialect):
    """The SQL of one module's file."""

    outbox = "pangaea_outbox"

    def triggers(self, capture: Capture) -> dict[str, str]:
        columns = {capture.identity.name, capture.key.name, *capture.columns}
        of = ", ".join(quoted(each) for each in sorted(columns))
        differs = " OR ".join(f"{at('OLD', each)} IS NOT {at('NEW', each)}" for each in sorted(columns))
        same = " AND ".join(f"{at('OLD', each)} IS {at('NEW', each)}" for each in (capture.identity, capture.key))
        steps = {
            "insert": ("INSERT", "", [self._step(capture, "create")]),
            "update": (
                f"UPDATE OF {of}",
                f"WHEN {differs} ",
                [
                    self._step(capture, "update", when=same),
                    self._step(capture, "delete", when=f"NOT ({same})"),
                    self._step(capture, "create", when=f"NOT ({same})"),
                ],
            ),
            "delete": ("DELETE", "", [self._step(capture, "delete")]),
        }
        return {
            f"{PREFIX}{capture.table}_{name}": f"CREATE TRIGGER {quoted(f'{PREFIX}{capture.table}_{name}')} "
            f"AFTER {event} ON {quoted(capture.table)} FOR EACH ROW {when}BEGIN {' '.join(does)} END"
            for name, (event, when, does) in steps.items()
        }

    def expected(self, capture: Capture) -> dict[str, str]:
        return self.triggers(capture)

    def installed(self, connection: BaseDatabaseWrapper) -> dict[str, str]:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND substr(name, 1, %s) = %s",
                [len(PREFIX), PREFIX],
            )
            return dict(cursor.fetchall())

    def remove(self, connection: BaseDatabaseWrapper) -> None:
        with connection.cursor() as cursor:
            for name in self.installed(connection):
                cursor.execute(f"DROP TRIGGER {quoted(name)}")

    def snapshot(self, capture: Capture) -> str:
        identity, key = at("r", capture.identity), self.key(capture, "r")
        rows = f"FROM {quoted(capture.table)} AS r WHERE {identity} IN (SELECT value FROM json_each(%s)) "  # noqa: S608 - from a declaration
        rows += f"AND {key} IN (SELECT value FROM json_each(%s)) "  # noqa: S608 - as above
        found = self._image_of(capture, "snapshot", before=NULL, after=self.image(capture, "r"), row="r")
        insert = self._insert(capture, f"{found} \0").replace("%", "%%")
        return insert.replace("\0", f"{rows}ORDER BY {identity} {NOT_MERGED}")

    def parameters(self, capture: Capture, identities: list[Any], keys: list[str], /) -> list[str]:
        field = capture.model._meta.pk
        connection = connections[capture.module]
        stored = [field.get_db_prep_value(each, connection) for each in identities]
        return [json.dumps(stored), json.dumps(keys)]

    def value(self, kind: Kind, column: str, places: int) -> str:
        return {
            Kind.TEXT: f"json_quote({column})",
            Kind.INTEGER: f"CAST({column} AS text)",
            Kind.BOOLEAN: f"CASE WHEN {column} IS NULL THEN NULL WHEN {column} THEN 'true' ELSE 'false' END",
            Kind.UUID: f"'\"' || {_dashed(column)} || '\"'",
            Kind.DECIMAL: f"'\"' || CASE WHEN {column} IS NOT NULL THEN printf('%.{places}f', {column}) END || '\"'",
            Kind.DATETIME: f"'\"' || {_instant(column)} || '\"'",
            Kind.DATE: f"'\"' || substr({column}, 1, 10) || '\"'",
            Kind.JSON: f"json({column})",
        }[kind]

    def key_text(self, kind: Kind, column: str) -> str:
        return _dashed(column) if kind is Kind.UUID else f"CAST({column} AS text)"

    def _step(self, capture: Capture, op: str, *, when: str = "") -> str:
        """The statement of a trigger that publishes one row."""
        before = NULL if op == "create" else self.image(capture, "OLD")
        after = NULL if op == "delete" else self.image(capture, "NEW")
        row = "OLD" if op == "delete" else "NEW"
        changed = self._image_of(capture, op, before=before, after=after, row=row)
        condition = f" WHERE {when}" if when else ""
        return f"{self._insert(capture, f'{changed}{condition} {NOT_MERGED}')};"

    def _image_of(self, capture: Capture, op: str, *, before: str, after: str, row: str) -> str:
        return f"SELECT {self.key(capture, row)} AS key, '{op}' AS op, {before} AS before, {after} AS after, {DRAWN}"

    def _insert(self, capture: Capture, changed: str) -> str:
        audience, name = self.constants(capture)
        body = self.body(
            capture,
            id_=_dashed(f"({ID})"),
            time=f"strftime('{RFC_3339}', 'now')",
            correlation_id=_dashed("correlated"),
        )
        return (
            f"INSERT INTO {self.outbox} {self.columns_of_the_outbox()} "  # noqa: S608 - from a declaration
            f"SELECT {ID}, {audience}, key, {name}, {body}, strftime('{DJANGO}', 'now') FROM ({changed})"
        )


def _dashed(column: str) -> str:
    """The SQL of a UUID with dashes. Django stores 32 hexadecimal digits; a row written by hand may have dashes."""
    digits = f"lower(replace({column}, '-', ''))"
    starts = ((1, 8), (9, 4), (13, 4), (17, 4), (21, 12))
    return " || '-' || ".join(f"substr({digits}, {start}, {length})" for start, length in starts)


def _instant(column: str) -> str:
    """The SQL of a time in RFC 3339.

    Django stores UTC without a zone, to the microsecond. A value with a zone needs SQLite's functions, which keep only
    milliseconds.
    """
    fraction = f"substr(substr({column}, 21) || '000000', 1, 6)"
    plain = f"substr({column}, 1, 10) || 'T' || substr({column}, 12, 8) || '.' || {fraction} || 'Z'"
    return f"CASE WHEN substr({column}, 20) GLOB '*[-+Zz]*' THEN strftime('{RFC_3339}', {column}) ELSE {plain} END"
