"""The differences between a projection's rows and its shadow's, of which the shadow's count as right."""
# ruff: noqa: S608 - statements about any projection's tables: their names come from its models, quoted

from dataclasses import dataclass
from typing import Any

from django.db.models import AutoField

from pangaea.inbox.rebuild.rows import (
    Column,
    Count,
    Table,
    columns_of,
    count,
    fetch,
    quoted,
    scalar,
    stored,
    tables_of,
)
from pangaea.inbox.subscriptions import Projection


@dataclass(frozen=True, slots=True)
class Difference:
    """A row that is `wrong`, `missing` or `superfluous` in the projection.

    `row` is its primary key, or empty if the database draws the key. `columns` maps each column that differs, or each
    column of a row that only one side has, to the present value and the right one.
    """

    table: str
    kind: str
    row: str
    columns: dict[str, tuple[Any, Any]]


@dataclass(frozen=True, slots=True)
class Comparison:
    """The number of rows that differ, the first differences, and the counts of rows and of parked messages."""

    total: int
    differences: list[Difference]
    counts: list[Count]

    @property
    def same(self) -> bool:
        """Whether nothing differs."""
        return not self.total and self.counts_agree

    @property
    def counts_agree(self) -> bool:
        """Whether rows and parked messages are as many as in the replay: a rebuild then needs no consent."""
        return all(each.before == each.after for each in self.counts)


def compare(projection: Projection, prefix: str, *, limit: int) -> Comparison:
    """Compare all tables, and return the first `limit` differences of each. `prefix` is that of the shadow's tables.

    Ids that the database draws are left out, and so are references to them: they do not come from the messages, and
    depend on the order between keys.
    """
    total = 0
    found: list[Difference] = []
    for table in tables_of(projection):
        compared = _Compared(projection, table, prefix)
        total += compared.total()
        found += compared.differences(limit)
    return Comparison(total, found, count(projection, prefix))


class _Compared:
    """The comparison of one table. A row that occurs twice on one side and once on the other is a difference."""

    def __init__(self, projection: Projection, table: Table, prefix: str) -> None:
        self.projection, self.table = projection, str(table._meta.object_name)
        self.fields = [field for field in stored(table) if not _is_counted(field)]
        pk = table._meta.pk
        self.key: Column | None = pk if pk in self.fields else None
        self.columns = columns_of(projection, self.fields)
        name = quoted(projection, table._meta.db_table)
        self.sides = [f"{each}{name}" for each in ("", prefix)]
        here, there = (
            f"SELECT {self.columns}, count(*) AS times FROM {each} GROUP BY {self.columns}" for each in self.sides
        )
        self.odd = (
            f"(SELECT 0 AS side, only_here.* FROM ({here} EXCEPT {there}) AS only_here "
            f"UNION ALL SELECT 1 AS side, only_there.* FROM ({there} EXCEPT {here}) AS only_there) AS odd"
        )

    def total(self) -> int:
        what = f"DISTINCT {columns_of(self.projection, [self.key])}" if self.key else "*"
        return scalar(self.projection, f"SELECT count({what}) FROM {self.odd}")

    def differences(self, limit: int) -> list[Difference]:
        return self._by_key(self.key, limit) if self.key else self._by_content(limit)

    def _by_key(self, key: Column, limit: int) -> list[Difference]:
        column = columns_of(self.projection, [key])
        listed = fetch(self.projection, f"SELECT DISTINCT {column} FROM {self.odd} ORDER BY {column} LIMIT {limit}")
        keys = [row[0] for row in listed]
        if not keys:
            return []
        marks = ", ".join(["%s"] * len(keys))
        here, there = (
            {
                row[0]: row[1:]
                for row in fetch(
                    self.projection, f"SELECT {column}, {self.columns} FROM {side} WHERE {column} IN ({marks})", *keys
                )
            }
            for side in self.sides
        )
        return [self._difference(str(each), here.get(each), there.get(each)) for each in keys]

    def _by_content(self, limit: int) -> list[Difference]:
        rows = fetch(
            self.projection, f"SELECT side, {self.columns} FROM {self.odd} ORDER BY {self.columns} LIMIT {limit}"
        )
        return [self._difference("", None, row) if side else self._difference("", row, None) for side, *row in rows]

    def _difference(self, row: str, here: Any, there: Any) -> Difference:
        kind = "missing" if here is None else "superfluous" if there is None else "wrong"
        blank = [None] * len(self.fields)
        values = zip(here or blank, there or blank, strict=True)
        columns = {
            field.name: (is_, should)
            for field, (is_, should) in zip(self.fields, values, strict=True)
            if kind != "wrong" or is_ != should
        }
        return Difference(self.table, kind, row, columns)


def _is_counted(field: Any) -> bool:
    while field.is_relation:
        field = field.target_field
    return isinstance(field, AutoField)
