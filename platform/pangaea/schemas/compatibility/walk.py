"""The state of a comparison, and what its parts use of it."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pangaea.schemas.compatibility.findings import Direction, Effect, Finding, Severity
from pangaea.schemas.compatibility.normal import Document
from pangaea.schemas.compatibility.shapes import Plain, Schema

ROOT = "$"


class Pair(NamedTuple):
    """Two schemas of the value at a path."""

    old: Plain
    new: Plain
    path: str


@dataclass
class Walk(ABC):
    """A walk through two schemas side by side. `place` names what the root is, in the ids of rules: body, header."""

    old: Document
    new: Document
    direction: Direction
    place: str
    findings: list[Finding] = field(default_factory=list)

    @abstractmethod
    def compare(self, old: Schema, new: Schema, path: str) -> None:
        """Report what differs between two schemas that describe the value at that path."""

    @abstractmethod
    def breaks(self, old: Schema, new: Schema) -> bool:
        """Whether `compare` would report something, as far as the schemas show without their surroundings."""

    def report(self, name: str, effect: Effect, what: str, path: str, severity: Severity = Severity.ERROR) -> None:
        """Record a change, if its effect breaks the other side.

        `name` is the end of the rule's id, after direction and place; or the whole id, with `{}` for the direction.
        """
        if self.direction.breaks(effect):
            place = self.place if path == ROOT else "property" if self.place == "body" else f"{self.place}-property"
            rule = name.format(self.direction.word) if "{}" in name else f"{self.direction.word}-{place}-{name}"
            self.findings.append(Finding(path, rule, what, self.direction.broken, severity))

    def sides(self, pair: Pair) -> tuple[Plain, Plain]:
        """The two schemas as writer's and reader's."""
        return (pair.old, pair.new) if self.direction.owner_reads else (pair.new, pair.old)


def keyword_changes(walk: Walk, keyword: str, name: str, pair: Pair) -> tuple[Any, Any] | None:
    """Report that a restricting keyword was added or removed. Returns both values where both are there."""
    old, new, path = pair
    if keyword in old and keyword in new:
        return old[keyword], new[keyword]
    if keyword in new:
        walk.report(f"{name}-added", Effect.NARROWS, f"`{keyword}` was added", path)
    elif keyword in old:
        walk.report(f"{name}-removed", Effect.WIDENS, f"`{keyword}` was removed", path)
    return None
