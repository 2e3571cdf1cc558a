"""Breaks that a module accepts until its next release: `<module>/api/exceptions.toml`.

[[exception]]
rule = "response-required-property-removed"
path = "GET /api/v1/orders* 200 $.total"      # `*` stands for any text
reason = "It was never filled."
expires = 2027-03-01                          # by then the next release has it, or the change is undone
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date, datetime
from pathlib import Path
from typing import Any, Self

from pangaea.errors import Misconfigured
from pangaea.schemas.compatibility.findings import Finding


@dataclass(frozen=True, slots=True)
class AcceptedBreak:
    """A break that is accepted, through its last day `expires`."""

    rule: str
    path: str
    reason: str
    expires: date

    @classmethod
    def of(cls, entry: Mapping[str, Any], file: Path) -> Self:
        """An entry of the file. Raises Misconfigured if a member is missing, unknown, empty or of another type."""
        for each in fields(cls):
            value = entry.get(each.name)
            if not isinstance(value, each.type if isinstance(each.type, type) else str) or isinstance(value, datetime):
                raise Misconfigured(f"{file}: an exception needs `{each.name}`: {entry}")
        if unknown := entry.keys() - {each.name for each in fields(cls)}:
            raise Misconfigured(f"{file}: an exception has no member {', '.join(sorted(unknown))}: {entry}")
        if not entry["reason"].strip():
            raise Misconfigured(f"{file}: an exception needs a reason: {entry}")
        return cls(**entry)

    def covers(self, finding: Finding) -> bool:
        """Whether this is the break that was found."""
        pattern = re.escape(self.path).replace(r"\*", ".*")
        return self.rule == finding.rule and re.fullmatch(pattern, finding.path) is not None


def read(package: Path) -> list[AcceptedBreak]:
    """The exceptions of the module whose package is in that folder. Raises Misconfigured as `AcceptedBreak.of` does."""
    file = package / "api" / "exceptions.toml"
    if not file.is_file():
        return []
    try:
        entries = tomllib.loads(file.read_text(encoding="utf-8"))["exception"]
        return [AcceptedBreak.of(entry, file) for entry in entries]
    except (tomllib.TOMLDecodeError, KeyError, AttributeError, TypeError) as error:
        raise Misconfigured(f"{file} is no list of exceptions: {error!r}") from error
