"""Released documents as files: `<module>/api/released/<version>/<number>.json`, which never change, and their sums.

`SHA256SUMS` beside the versions has a line per file, as `sha256sum --check` reads it.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Self

from pangaea.errors import Misconfigured
from pangaea.schemas.compatibility.findings import Finding

SUMS = "SHA256SUMS"
MEMBER = "x-release"
"""The member of `info` that describes the release: its version, number and day, and the breaks that it accepted."""


def folder_of(package: Path) -> Path:
    """The folder of the released documents of the module whose package is in that folder."""
    return package / "api" / "released"


@dataclass(frozen=True, slots=True)
class Release:
    """A released document. `accepted` are the rules and paths of the breaks that its module declared for it."""

    path: Path
    version: str
    number: int
    day: date
    accepted: frozenset[tuple[str, str]]
    document: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> Self:
        """The release in that file. Raises Misconfigured if it is none."""
        try:
            document = json.loads(path.read_bytes())
            found = document["info"][MEMBER]
            accepted = frozenset((each["rule"], each["path"]) for each in found["accepted"])
            return cls(path, path.parent.name, int(path.stem), date.fromisoformat(found["day"]), accepted, document)
        except (ValueError, KeyError, TypeError) as error:
            raise Misconfigured(f"{path} is no released document: {error!r}. Restore it from git.") from error

    @property
    def name(self) -> str:
        """For people: `release 2 of v1`."""
        return f"release {self.number} of {self.version}"

    def has(self, document: Mapping[str, Any]) -> bool:
        """Whether the document is this release's, apart from the description of the release."""
        return _without_release(self.document) == _without_release(json.loads(json.dumps(document)))


def _without_release(document: Mapping[str, Any]) -> dict[str, Any]:
    info = {name: value for name, value in document["info"].items() if name != MEMBER}
    return {**document, "info": info}


def released(folder: Path) -> dict[str, list[Release]]:
    """All releases in that folder by version, the first ones first. Raises Misconfigured as `Release.read` does."""
    found: dict[str, list[Release]] = {}
    for path in sorted(folder.glob("*/*.json")):
        found.setdefault(path.parent.name, []).append(Release.read(path))
    return {version: sorted(each, key=lambda release: release.number) for version, each in found.items()}


def write(
    folder: Path, version: str, document: Mapping[str, Any], *, day: date, accepted: Sequence[tuple[Finding, str]]
) -> Path:
    """Write the next release of a version, and the sums; `accepted` are the breaks in it with their reasons."""
    numbers = [release.number for release in released(folder).get(version, ())]
    number = max(numbers, default=0) + 1
    path = folder / version / f"{number:04}.json"
    breaks = [{"rule": each.rule, "path": each.path, "reason": reason} for each, reason in accepted]
    description = {"version": version, "number": number, "day": day.isoformat(), "accepted": breaks}
    frozen = {**document, "info": {**document["info"], MEMBER: description}}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(frozen, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
    sums = _sums(folder) | {path.relative_to(folder).as_posix(): _sum(path)}
    lines = [f"{digest}  {name}\n" for name, digest in sorted(sums.items())]
    (folder / SUMS).write_text("".join(lines), encoding="utf-8")
    return path


def altered(folder: Path) -> list[str]:
    """The files that differ from their sums, are missing, or have no sum; each with what is wrong."""
    sums = _sums(folder)
    there = {path.relative_to(folder).as_posix() for path in folder.glob("*/*.json")}
    found = [f"{name} was deleted" for name in sorted(sums.keys() - there)]
    found += [f"{name} is not in {SUMS}" for name in sorted(there - sums.keys())]
    found += [f"{name} was changed" for name in sorted(there & sums.keys()) if _sum(folder / name) != sums[name]]
    return found


def _sums(folder: Path) -> dict[str, str]:
    file = folder / SUMS
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}


def _sum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
