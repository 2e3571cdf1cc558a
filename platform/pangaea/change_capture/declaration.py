"""Which columns of a model are published, under which names and types."""

import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Literal, Union, get_args, get_origin
from uuid import UUID

import msgspec
from django.core.exceptions import FieldDoesNotExist
from django.db.models import Field, ForeignKey, Model

from pangaea import messages, modules
from pangaea.errors import Misconfigured
from pangaea.messages import KEY_LENGTH, Event, Money


class Kind(Enum):
    """The kind of a column, which decides its form in JSON. Each value is the type that a message declares for it."""

    TEXT = str
    INTEGER = int
    BOOLEAN = bool
    UUID = UUID
    DECIMAL = Decimal
    DATETIME = datetime
    DATE = date
    JSON = Any


_KINDS = {
    "BooleanField": Kind.BOOLEAN,
    "CharField": Kind.TEXT,
    "DateField": Kind.DATE,
    "DateTimeField": Kind.DATETIME,
    "DecimalField": Kind.DECIMAL,
    "JSONField": Kind.JSON,
    "SlugField": Kind.TEXT,
    "TextField": Kind.TEXT,
    "UUIDField": Kind.UUID,
    **dict.fromkeys(
        [
            *("AutoField", "BigAutoField", "SmallAutoField", "IntegerField", "BigIntegerField", "SmallIntegerField"),
            *("PositiveIntegerField", "PositiveBigIntegerField", "PositiveSmallIntegerField"),
        ],
        Kind.INTEGER,
    ),
}
_OF_KEYS = {Kind.TEXT, Kind.INTEGER, Kind.UUID}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the captured table. `places` are the decimal places."""

    name: str
    kind: Kind
    null: bool = False
    places: int = 0


@dataclass(frozen=True, slots=True)
class Plain:
    """One column, unchanged."""

    column: str


@dataclass(frozen=True, slots=True)
class Amount:
    """Two columns, an amount in minor units and its currency, published as Money."""

    amount: str
    currency: str


@dataclass(frozen=True, slots=True)
class Words:
    """One column whose stored values are published under other names; a value without a name is published as text."""

    column: str
    words: Mapping[str | int, str]


Converter = Plain | Amount | Words


def money(*, amount: str, currency: str) -> Amount:
    """Publish two columns as one Money; null if the amount is null."""
    return Amount(amount, currency)


def enum(column: str, words: Mapping[str | int, str]) -> Words:
    """Publish a stored code under another name: `enum("state", {"P": "placed", "C": "cancelled"})`."""
    return Words(column, words)


class Capture:
    """Publishes the changes of a model's rows as messages of the class `yields`, whose key is the `key` column.

    `fields` maps published names to columns (a field of the model, `money(...)` or `enum(...)`). Other columns are not
    published, and a change of only these columns publishes nothing. The class `yields` has the fields `op` ("create",
    "update", "delete" or "snapshot"), `before` and `after`. `before` and `after` hold the same optional struct, which
    has exactly the published names. A row whose key changes is published as deleted under the old key and created under
    the new one.

    Name the object in `ModuleConfig.captures`; its own name is `<module>.<model>`.
    """

    def __init__(
        self, model: type[Model], *, key: str, yields: type[Event], fields: Mapping[str, str | Amount | Words]
    ) -> None:
        self.model = model
        self.module: str = model._meta.app_label
        self.name = f"{self.module}.{model._meta.model_name}"
        self.table: str = model._meta.db_table
        self.yields = yields
        self.fields: dict[str, Converter] = {
            name: Plain(each) if isinstance(each, str) else each for name, each in fields.items()
        }
        self.key_field = key

    @property
    def key(self) -> Column:
        """The column that holds the key of the messages."""
        return self.column(self.key_field)

    @property
    def identity(self) -> Column:
        """The primary key's column, which identifies a row before and after a change."""
        return self.column(self.model._meta.pk.name)

    @property
    def columns(self) -> list[str]:
        """The names of all published columns, each once."""
        found = (self.column(each).name for converter in self.fields.values() for each in _fields_of(converter))
        return list(dict.fromkeys(found))

    def column(self, name: str) -> Column:
        """The column of a model's field. Raises Misconfigured for a field that cannot be captured."""
        try:
            field: Any = self.model._meta.get_field(name)
        except FieldDoesNotExist as error:
            raise Misconfigured(f"{self.model.__name__} has no field {name!r}.") from error
        if not isinstance(field, Field) or field not in self.model._meta.local_concrete_fields:
            raise Misconfigured(f"{name!r} is no column of {self.model.__name__}'s own table.")
        target: Any = field
        while isinstance(target, ForeignKey):
            target = target.target_field
        kind = _KINDS.get(target.get_internal_type())
        if kind is None:
            supported = ", ".join(sorted(_KINDS))
            raise Misconfigured(f"{name!r} is a {type(target).__name__}; these can be captured: {supported}.")
        return Column(str(field.column), kind, bool(field.null), getattr(target, "decimal_places", None) or 0)

    def problems(self) -> Iterator[str]:
        """The faults of the declaration, as sentences."""
        try:
            columns = {name: [self.column(each) for each in _fields_of(self.fields[name])] for name in self.fields}
            key, _ = self.key, self.identity
        except Misconfigured as error:
            yield str(error)
            return
        yield from self._problems_of_the_key(key)
        owner = modules.owner_of(self.yields)
        if messages.module_of(self.yields.wire_name) != self.module or owner is None or owner.label != self.module:
            yield f"{self.yields.wire_name} is no event of {self.module}."
        entry = _entry_of(self.yields)
        if entry is None:
            yield f"{self.yields.__name__} needs `op: Operation`, `before` and `after`, the same struct or None."
            return
        declared = {field.encode_name: field.type for field in msgspec.structs.fields(entry)}
        if declared.keys() != self.fields.keys():
            differing = ", ".join(sorted(declared.keys() ^ self.fields.keys()))
            yield f"{entry.__name__} and the captured fields differ in: {differing}."
        for name in declared.keys() & self.fields.keys():
            if not _fits(declared[name], self.fields[name], columns[name]):
                yield f"{entry.__name__}.{name} is declared as {declared[name]}, which its column does not hold."

    def _problems_of_the_key(self, key: Column) -> Iterator[str]:
        field: Any = self.model._meta.get_field(self.key_field)
        length = getattr(field, "max_length", None)
        if key.kind not in _OF_KEYS or key.null:
            yield f"{self.key_field!r} cannot be a key: that is a text, an integer or a UUID, and never null."
        elif key.kind is Kind.TEXT and (length is None or length > KEY_LENGTH):
            yield f"{self.key_field!r} cannot be a key: a key has at most {KEY_LENGTH} characters; limit max_length."

    def __repr__(self) -> str:
        return f"Capture({self.name!r})"


def _fields_of(converter: Converter) -> tuple[str, ...]:
    return (converter.amount, converter.currency) if isinstance(converter, Amount) else (converter.column,)


def _entry_of(message: type[Event]) -> type[msgspec.Struct] | None:
    """The struct that `before` and `after` hold."""
    fields = {field.encode_name: field.type for field in msgspec.structs.fields(message)}
    if fields.keys() != {"op", "before", "after"} or fields["op"] != messages.Operation:
        return None
    (before, optional), (after, optional_too) = _optional(fields["before"]), _optional(fields["after"])
    entry = after[0]
    if before != after or not (optional and optional_too and isinstance(entry, type)):
        return None
    return entry if issubclass(entry, msgspec.Struct) else None


def _optional(declared: Any) -> tuple[tuple[Any, ...], bool]:
    """The members of a type except None, and whether None is one of them."""
    members = get_args(declared) if get_origin(declared) in {Union, types.UnionType} else (declared,)
    return tuple(each for each in members if each is not type(None)), type(None) in members


def _fits(declared: Any, converter: Converter, columns: list[Column]) -> bool:
    (member, *others), optional = _optional(declared)
    kind = columns[0].kind
    if kind is Kind.JSON:
        return True
    named = get_origin(member) is Literal or (isinstance(member, type) and issubclass(member, Enum))
    if isinstance(converter, Amount):
        fits = member is Money and [each.kind for each in columns] == [Kind.INTEGER, Kind.TEXT]
    elif isinstance(converter, Words):
        fits = (named or member is str) and kind in {Kind.TEXT, Kind.INTEGER}
    else:
        fits = member is kind.value or (named and kind is Kind.TEXT)
    return fits and not others and (optional or not columns[0].null)
