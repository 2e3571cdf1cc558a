"""SQL that both engines share: a row as JSON, and the message that holds it, with the same text on both engines."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from pangaea.change_capture.declaration import Amount, Capture, Column, Converter, Kind, Words
from pangaea.messages import ALL

PREFIX = "pangaea_capture_"
"""The prefix of the names of all triggers and functions of captures."""

NULL = "'null'"


class Dialect(ABC):
    """The SQL of one engine. Expressions are SQL text; `row` is the alias of a row in the statement."""

    outbox: str

    @abstractmethod
    def triggers(self, capture: Capture) -> dict[str, str]:
        """The statements that create the triggers and their functions, by trigger name."""

    @abstractmethod
    def expected(self, capture: Capture) -> dict[str, str]:
        """The definitions that `installed` returns when these triggers are as declared."""

    @abstractmethod
    def installed(self, connection: BaseDatabaseWrapper) -> dict[str, str]:
        """The definitions of the triggers of all captures in the database, by name."""

    @abstractmethod
    def remove(self, connection: BaseDatabaseWrapper) -> None:
        """Remove the triggers of all captures."""

    @abstractmethod
    def snapshot(self, capture: Capture) -> str:
        """The statement that publishes the rows whose primary key and message key are among its parameters.

        The caller holds the locks of the message keys, so that their rows do not change.
        """

    @abstractmethod
    def parameters(self, capture: Capture, identities: list[Any], keys: list[str], /) -> list[Any]:
        """The parameters of `snapshot`."""

    @abstractmethod
    def value(self, kind: Kind, column: str, places: int) -> str:
        """The JSON text of a value that is not null."""

    @abstractmethod
    def key_text(self, kind: Kind, column: str) -> str:
        """A value as text, like Python's `str()`."""

    # Shared by both

    def key(self, capture: Capture, row: str) -> str:
        """The message's key."""
        return self.key_text(capture.key.kind, at(row, capture.key))

    def image(self, capture: Capture, row: str) -> str:
        """A row as the JSON text of `before` or `after`."""
        parts, before = [], "{"
        for name, converter in capture.fields.items():
            parts += [literal(f'{before}"{name}":'), self._member(capture, converter, row)]
            before = ","
        return " || ".join([*parts, "'}'"])

    def body(self, capture: Capture, *, id_: str, time: str, correlation_id: str) -> str:
        """The whole envelope as `publish` writes it, built from the columns key, op, before and after."""
        kind = capture.yields
        parts = [
            *(literal('{"specversion":"1.0","id":"'), id_),
            *(literal(f'","source":"{capture.module}","type":"{kind.wire_name}","subject":'), self._text("key")),
            *(literal(',"time":"'), time),
            *(literal(f'","datacontenttype":"application/json","schemaversion":{kind.version}'),),
            *(literal(',"correlationid":'), self._text(correlation_id)),
            *(literal(',"data":{"op":"'), "op", literal('","before":'), "before", literal(',"after":'), "after"),
        ]
        return " || ".join([*parts, literal("}}")])

    def columns_of_the_outbox(self) -> str:
        """The columns that a captured message fills."""
        return "(message_id, audience, key, name, body, created_at)"

    def constants(self, capture: Capture) -> tuple[str, str]:
        """The audience and the wire name, as SQL literals."""
        return literal(ALL), literal(capture.yields.wire_name)

    def _member(self, capture: Capture, converter: Converter, row: str) -> str:
        match converter:
            case Amount(amount, currency):
                first, second = capture.column(amount), capture.column(currency)
                members = [literal('{"amount":'), self._nullable(first, row)]
                members += [literal(',"currency":'), self._nullable(second, row), literal("}")]
                text = " || ".join(members)
                return f"CASE WHEN {at(row, first)} IS NULL THEN {NULL} ELSE {text} END" if first.null else text
            case Words(name, words):
                column = capture.column(name)
                text = self._text(self._word(column, words, row))
                return f"coalesce({text}, {NULL})" if column.null else text
            case _:
                return self._nullable(capture.column(converter.column), row)

    def _text(self, expression: str) -> str:
        return self.value(Kind.TEXT, expression, 0)

    def _nullable(self, column: Column, row: str) -> str:
        text = self.value(column.kind, at(row, column), column.places)
        return f"coalesce({text}, {NULL})" if column.null else text

    def _word(self, column: Column, words: Mapping[str | int, str], row: str) -> str:
        cases = " ".join(
            f"WHEN {literal(stored) if isinstance(stored, str) else stored} THEN {literal(word)}"
            for stored, word in words.items()
        )
        return f"CASE {at(row, column)} {cases} ELSE CAST({at(row, column)} AS text) END"


def at(row: str, column: Column | str) -> str:
    """A column of a row, as SQL."""
    return f"{row}.{quoted(column if isinstance(column, str) else column.name)}"


def quoted(name: str) -> str:
    """A name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text as an SQL string."""
    return "'" + text.replace("'", "''") + "'"
