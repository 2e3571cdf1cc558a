"""The walk through two schemas."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pangaea.schemas.compatibility import alternatives, arrays, conditions, objects, scalars
from pangaea.schemas.compatibility.findings import Direction, Effect, Finding
from pangaea.schemas.compatibility.normal import Document
from pangaea.schemas.compatibility.shapes import NOTHING, Schema
from pangaea.schemas.compatibility.walk import ROOT, Pair, Walk


def compare(
    old: Schema,
    new: Schema,
    *,
    direction: Direction,
    old_document: Mapping[str, Any] | None = None,
    new_document: Mapping[str, Any] | None = None,
    place: str = "body",
) -> list[Finding]:
    """What breaks the other side when a schema becomes another one; empty where they are compatible.

    The documents are those in which the schemas' references are followed (default: the schema itself). `place` names
    what the schema describes, in the ids of rules. Raises LookupError for a reference that leads nowhere.
    """
    comparison = Comparison(_document(old, old_document), _document(new, new_document), direction, place)
    comparison.compare(old, new, ROOT)
    return sorted(set(comparison.findings))


def _document(schema: Schema, document: Mapping[str, Any] | None) -> Document:
    return Document(document if document is not None else schema if isinstance(schema, Mapping) else {})


@dataclass
class Comparison(Walk):
    """The walk, which ends where a pair of schemas contains itself: what is nested deeper is the same pair."""

    inside: tuple[str, ...] = field(default=())

    def compare(self, old: Schema, new: Schema, path: str) -> None:
        texts = self.old.expanded(old), self.new.expanded(new)
        pair = "\n".join(texts)
        if texts[0] == texts[1] or pair in self.inside:
            return
        outside, self.inside = self.inside, (*self.inside, pair)
        try:
            self._compare(Pair(self.old.plain(old), self.new.plain(new), path))
        finally:
            self.inside = outside

    def breaks(self, old: Schema, new: Schema) -> bool:
        trial = Comparison(self.old, self.new, self.direction, self.place, inside=self.inside)
        trial.compare(old, new, ROOT)
        return bool(trial.findings)

    def _compare(self, pair: Pair) -> None:
        old, new, path = pair
        if NOTHING in (old, new):
            if old != new:
                what = "no value is accepted" if new == NOTHING else "there may be a value, and there was none"
                self.report("became-forbidden", Effect.NARROWS if new == NOTHING else Effect.WIDENS, what, path)
            return
        if alternatives.are_in(old, new):
            alternatives.compare(self, pair)
            return
        shared = scalars.compare(self, pair)
        if "object" in shared:
            objects.compare(self, pair)
        if "array" in shared:
            arrays.compare(self, pair)
        conditions.compare(self, pair)
