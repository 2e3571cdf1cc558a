"""Count the rows of a projection and of its shadow, and replace the live rows by the shadow's, in SQL.

`prefix` is that of the shadow's tables (see `shadows.Shadow.beside`).
"""
# ruff: noqa: S608 - statements about any projection's tables: their names come from its models, quoted

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

from django.apps import apps
from django.core.management.color import no_style
from django.db import connections
from django.db.models import Field, Model

from pangaea.errors import Misuse
from pangaea.inbox.models import DeadLetter
from pangaea.inbox.subscriptions import Projection

Table = type[Model]
Column: TypeAlias = "Field[Any, Any]"
PARKED = "messages parked"


@dataclass(frozen=True, slots=True)
class Count:
    """A number of rows or messages, in the live tables (`before`) and in the shadow (`after`)."""

    what: str
    before: int
    after: int


def tables_of(projection: Projection) -> list[Table]:
    """The projection's models, each after the models that it refers to. Raises Misuse if the projection names none."""
    if not projection.models:
        text = f"{projection.name} does not name the models that it keeps: Projection({projection.name!r}, models=(…))."
        raise Misuse(text)
    waiting = [apps.get_model(projection.module, name) for name in projection.models]
    ordered: list[Table] = []
    while waiting:
        free = [each for each in waiting if not (_targets(each) - {each}) & set(waiting)] or waiting[:1]
        ordered += free
        waiting = [each for each in waiting if each not in free]
    through: list[Any] = [field.remote_field.through for each in ordered for field in each._meta.local_many_to_many]
    return [*ordered, *through]


def creatable(tables: Iterable[Table]) -> list[Table]:
    """The models whose table Django creates separately, and not along with another model's."""
    return [each for each in tables if not each._meta.auto_created]


def count(projection: Projection, prefix: str) -> list[Count]:
    """The numbers of rows of each table, and of parked messages."""
    found = [
        Count(str(table._meta.object_name), _number(projection, table, ""), _number(projection, table, prefix))
        for table in tables_of(projection)
    ]
    parked = DeadLetter._meta.db_table
    before = scalar(projection, f"SELECT count(*) FROM {parked} WHERE subscription = %s", projection.name)
    after = scalar(projection, f"SELECT count(*) FROM {prefix}{parked} WHERE subscription = %s", projection.shadow.name)
    return [*found, Count(PARKED, before, after)]


def replace(projection: Projection, prefix: str) -> None:
    """Replace the projection's rows and parked messages by the shadow's, in the caller's transaction."""
    connection = connections[projection.module]
    tables = tables_of(projection)
    with connection.cursor() as cursor:
        for table in reversed(tables):
            cursor.execute(f"DELETE FROM {quoted(projection, table._meta.db_table)}")
        for table in tables:
            name, columns = quoted(projection, table._meta.db_table), columns_of(projection, stored(table))
            cursor.execute(f"INSERT INTO {name} ({columns}) SELECT {columns} FROM {prefix}{name}")
        # The rows keep the shadow's ids: the sequences must continue after them.
        for statement in connection.ops.sequence_reset_sql(no_style(), creatable(tables)):
            cursor.execute(statement)
        parked, fields = DeadLetter._meta.db_table, stored(DeadLetter)
        columns = columns_of(projection, [field for field in fields if field.name not in {"id", "subscription"}])
        cursor.execute(f"DELETE FROM {parked} WHERE subscription = %s", [projection.name])
        cursor.execute(
            f"INSERT INTO {parked} (subscription, {columns}) "
            f"SELECT %s, {columns} FROM {prefix}{parked} WHERE subscription = %s ORDER BY id",
            [projection.name, projection.shadow.name],
        )


def stored(table: Table) -> list[Column]:
    """The fields that have a column, except columns that the database computes."""
    return [field for field in table._meta.concrete_fields if not field.generated]


def columns_of(projection: Projection, fields: Iterable[Column]) -> str:
    """The quoted columns of these fields, separated by commas, for a statement."""
    return ", ".join(quoted(projection, str(field.column)) for field in fields)


def quoted(projection: Projection, name: str) -> str:
    """The name quoted for a statement."""
    return connections[projection.module].ops.quote_name(name)


def fetch(projection: Projection, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    """Execute a statement and return its rows as the driver returns them."""
    with connections[projection.module].cursor() as cursor:
        cursor.execute(statement, values)
        return list(cursor.fetchall())


def scalar(projection: Projection, statement: str, *values: Any) -> int:
    """Execute a statement and return its single number."""
    return int(fetch(projection, statement, *values)[0][0])


def _number(projection: Projection, table: Table, prefix: str) -> int:
    return scalar(projection, f"SELECT count(*) FROM {prefix}{quoted(projection, table._meta.db_table)}")


def _targets(table: Table) -> set[Table]:
    return {field.related_model for field in table._meta.concrete_fields if isinstance(field.related_model, type)}
