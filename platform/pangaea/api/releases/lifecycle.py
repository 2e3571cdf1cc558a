"""How long clients are given: an operation ends no earlier than its sunset, which is announced 90 days before.

`x-deprecation: {since, sunset}` of an operation holds the two days, both of which begin at 00:00 UTC.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Self

from pangaea.api.releases.operations import CALLERS, Operation, operations
from pangaea.modules import SHORTEST_NOTICE
from pangaea.schemas.compatibility.findings import Finding

EXTENSION = "x-deprecation"


@dataclass(frozen=True, slots=True)
class Announcement:
    """Since when an operation is deprecated, and until when it is answered."""

    since: date
    sunset: date

    @classmethod
    def of(cls, operation: Operation) -> Self | None:
        """What the operation announces; None if it announces no end. Raises ValueError where that is malformed."""
        found = operation.get(EXTENSION)
        if not found:
            return None
        try:
            return cls(*(date.fromisoformat(str(found[name])) for name in ("since", "sunset")))
        except (KeyError, TypeError) as error:
            raise ValueError(str(error)) from error


def compare(old: Mapping[str, Any], new: Mapping[str, Any], *, on: date) -> Iterator[Finding]:
    """What ends too early on that day, by the old document's announcements; and what the new one announces too late."""
    before, after = operations(old), operations(new)
    paths = {path for path, _ in after}
    for key, (path, operation) in sorted(before.items()):
        where = f"{key[1].upper()} {path}"
        if key not in after:
            yield from _removed(operation, where, on, whole_path=key[0] not in paths)
    for key, (path, operation) in sorted(after.items()):
        earlier = before[key][1] if key in before else {}
        yield from _announced(earlier, operation, f"{key[1].upper()} {path}", on)


def _removed(operation: Operation, where: str, on: date, *, whole_path: bool) -> Iterator[Finding]:
    kind = "api-path-removed" if whole_path else "api-removed"
    try:
        announced = Announcement.of(operation)
    except ValueError:
        announced = None
    if announced is None:
        yield Finding(where, f"{kind}-without-deprecation", "it is missing, and its end was not announced", CALLERS)
    elif on < announced.sunset:
        what = f"it is missing on {on}, and was promised until {announced.sunset}"
        yield Finding(where, f"{kind}-before-sunset", what, CALLERS)


def _announced(old: Operation, new: Operation, where: str, on: date) -> Iterator[Finding]:
    try:
        earlier = Announcement.of(old)
    except ValueError:
        earlier = None
    try:
        announced = Announcement.of(new)
    except ValueError as error:
        yield Finding(where, "api-deprecated-sunset-parse", f"its `{EXTENSION}` is malformed ({error})", CALLERS)
        return
    if announced is None:
        if new.get("deprecated"):
            rule = "sunset-deleted" if earlier else "api-deprecated-sunset-missing"
            yield Finding(where, rule, f"it is deprecated without `{EXTENSION}`, so its end is not known", CALLERS)
        return
    if earlier and announced.sunset < earlier.sunset:
        what = f"its sunset is {announced.sunset}, and was {earlier.sunset}"
        yield Finding(where, "api-sunset-date-changed-too-small", what, CALLERS)
    elif earlier != announced:
        # A deprecation that no release announced begins on this day at the earliest, whatever it states.
        begins = announced.since if earlier else max(announced.since, on)
        if announced.sunset - begins < SHORTEST_NOTICE:
            what = f"its sunset {announced.sunset} is less than {SHORTEST_NOTICE.days} days after {begins}"
            yield Finding(where, "api-sunset-date-too-small", what, CALLERS)
