"""Cursors of lists: opaque to clients, signed, and bound to one list with its ordering and its filters."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

from django.core.exceptions import ValidationError
from django.core.signing import BadSignature, Signer, b64_decode, b64_encode
from django.db.models import BooleanField, F, Field, Func, Model, Value

from pangaea.errors import Misuse


class Side(StrEnum):
    """Which rows a page has, seen from the cursor's row in the order of the list."""

    AFTER = "after"
    FROM = "from"
    BEFORE = "before"
    UNTIL = "until"

    @property
    def is_backward(self) -> bool:
        """Whether the page ends at the cursor, so that its rows are read from the last to the first."""
        return self in {Side.BEFORE, Side.UNTIL}

    @property
    def opposite(self) -> "Side":
        """The side of all other rows."""
        return {Side.AFTER: Side.UNTIL, Side.UNTIL: Side.AFTER, Side.FROM: Side.BEFORE, Side.BEFORE: Side.FROM}[self]


_OPERATORS = {Side.AFTER: (">", "<"), Side.FROM: (">=", "<="), Side.BEFORE: ("<", ">"), Side.UNTIL: ("<=", ">=")}
"""The comparison with a position, in an ascending list and in a descending one."""


class RowComparison(Func):
    """A comparison of columns with values as rows: `(name, sku) > ('Globe', 'A-1')`.

    An index on the columns begins at the values, also on SQLite, for which Django's own tuple lookups write
    `name > … OR name = … AND sku > …`: that reads all rows before.
    """

    conditional = True

    def __init__(self, fields: "Sequence[Field[Any, Any]]", operator: str, values: Sequence[Any]) -> None:
        self.operator = operator
        columns = [F(field.name) for field in fields]
        parameters = [Value(value, output_field=field) for field, value in zip(fields, values, strict=True)]
        super().__init__(*columns, *parameters, output_field=BooleanField())

    def as_sql(self, compiler: Any, _connection: Any, **_: Any) -> tuple[str, list[Any]]:  # type: ignore[override] # it has one form
        parts = [compiler.compile(each) for each in self.get_source_expressions()]
        texts = [text for text, _parameters in parts]
        half = len(texts) // 2
        comparison = f"({', '.join(texts[:half])}) {self.operator} ({', '.join(texts[half:])})"
        return comparison, [each for _text, parameters in parts for each in parameters]


class Ordering:
    """A unique ordering of a model's rows: a comparison of whole rows continues it, and an index serves that.

    Raises Misuse for names that are no such ordering: columns of the model's own table that are never null, all
    ascending or all descending, the last one unique.
    """

    def __init__(self, model: type[Model], names: Sequence[str]) -> None:
        local = {field.name: field for field in model._meta.local_concrete_fields}
        bare = [name.removeprefix("-") for name in names]
        self.is_descending = names[0].startswith("-")
        self.names = tuple(names)
        faults = [f"{name!r} is no column of {model.__name__}" for name in bare if name not in local]
        if not faults:
            faults += [f"{name!r} may be null" for name in bare if local[name].null]
            faults += [f"{bare[-1]!r} is not unique"] if not local[bare[-1]].unique else []
        if len({name.startswith("-") for name in names}) > 1:
            faults.append("some columns ascend and others descend")
        if faults:
            raise Misuse(f"Pages of {model.__name__} cannot be ordered by {tuple(names)}: {', '.join(faults)}.")
        self._fields: tuple[Field[Any, Any], ...] = tuple(local[name] for name in bare)

    @property
    def backward(self) -> tuple[str, ...]:
        """The names of the opposite ordering."""
        return tuple(name[1:] if name.startswith("-") else f"-{name}" for name in self.names)

    def values_of(self, row: Model) -> list[str]:
        """The row's position, as text."""
        return [field.value_to_string(row) for field in self._fields]

    def values_from(self, texts: Sequence[str]) -> tuple[Any, ...]:
        """A row's position from its text. Raises ValueError or ValidationError where the text is none."""
        return tuple(field.to_python(text) for field, text in zip(self._fields, texts, strict=True))

    def condition(self, cursor: "Cursor") -> RowComparison:
        """The rows on the cursor's side of it."""
        operator = _OPERATORS[cursor.side][self.is_descending]
        return RowComparison(self._fields, operator, self.values_from(cursor.position))


@dataclass(frozen=True, slots=True)
class Cursor:
    """A position in a list, as text, and the side of it that a page shows."""

    side: Side
    position: tuple[str, ...]

    @classmethod
    def at(cls, side: Side, row: Model, ordering: Ordering) -> Self:
        """A cursor at this row."""
        return cls(side, tuple(ordering.values_of(row)))

    @classmethod
    def read(cls, text: str, ordering: Ordering, *, bound_to: str) -> Self | None:
        """The cursor of this text; None for one that was not made for this list, or not by this server."""
        try:
            side, *position = json.loads(b64_decode(_signer(bound_to).unsign(text).encode()))
            ordering.values_from(position)
            return cls(Side(side), tuple(position))
        except (BadSignature, ValueError, ValidationError):
            return None

    def text(self, *, bound_to: str) -> str:
        """The cursor as clients send it. It is valid for the list that `bound_to` describes, and for no other."""
        content = json.dumps([self.side, *self.position], separators=(",", ":"))
        return _signer(bound_to).sign(b64_encode(content.encode()).decode())


def _signer(bound_to: str) -> Signer:
    # The fallback keys of a rotation verify too.
    return Signer(sep=".", salt=f"pangaea.api.cursors\n{bound_to}")
