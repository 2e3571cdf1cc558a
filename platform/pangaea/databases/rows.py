"""Model instances from hand-written SQL, for queries of every pass or batch, where a QuerySet costs too much."""

from collections.abc import Iterable
from functools import cache
from typing import Any, TypeVar

from django.db import connections
from django.db.models import Model
from django.db.models.expressions import Col

M = TypeVar("M", bound=Model)


@cache
def columns(model: type[Model]) -> str:
    """The names of all columns of a model, for a SELECT."""
    return ", ".join(f'"{field.column}"' for field in model._meta.concrete_fields)


def instances(model: type[M], alias: str, rows: Iterable[tuple[Any, ...]]) -> list[M]:
    """Instances of rows that hold `columns(model)`, converted as the ORM would."""
    rows = list(rows)
    if not rows:
        return []
    names = [field.attname for field in model._meta.concrete_fields]
    if not (converters := _converters(model, alias)):
        return [model.from_db(alias, names, row) for row in rows]
    converted = []
    for row in rows:
        values = list(row)
        for index, expression, convert in converters:
            values[index] = convert(values[index], expression, connections[alias])
        converted.append(model.from_db(alias, names, values))
    return converted


@cache
def _converters(model: type[Model], alias: str) -> list[tuple[int, Col, Any]]:
    """Index, expression and function of each conversion. PostgreSQL needs none; SQLite has no UUIDs and no times."""
    connection = connections[alias]
    table = model._meta.db_table
    expressions = [Col(table, field) for field in model._meta.concrete_fields]
    return [
        (index, expression, convert)
        for index, expression in enumerate(expressions)
        for convert in (
            *connection.ops.get_db_converters(expression),
            *expression.output_field.get_db_converters(connection),
        )
    ]
