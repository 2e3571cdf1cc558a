"""Whether a module's API keeps what its releases promise, and releasing what it promises from then on."""

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

from pangaea import modules
from pangaea.api.openapi import document as documents
from pangaea.api.releases import exceptions, files, lifecycle, operations, slices
from pangaea.api.releases.exceptions import AcceptedBreak
from pangaea.api.releases.files import Release
from pangaea.api.releases.history import Addition, History
from pangaea.errors import Misconfigured
from pangaea.schemas.compatibility.findings import Finding

ADVICE = (
    "Keep what was released, or make the change in a version of its own. What must break anyway is declared in "
    "{exceptions}, with its reason. `manage.py api_calls` shows who calls a version."
)


class Broken(Misconfigured):
    """A module's API breaks what its releases promise. The text has every break, with who breaks."""


@dataclass(frozen=True, slots=True)
class Api:
    """A module's API: its documents by version, its releases, and the breaks that it accepts."""

    label: str
    package: Path
    parts: Mapping[str, Mapping[str, Any]]
    releases: Mapping[str, Sequence[Release]]
    accepted: Sequence[AcceptedBreak]
    on: date

    @classmethod
    def of(cls, module: modules.ModuleConfig, *, on: date) -> "Api":
        """The API as the code has it. Raises Misconfigured if a file of it cannot be read."""
        package = Path(module.path)
        built, _ = documents.build(module)
        parts = slices.by_version(built) if built["paths"] else {}
        return cls(module.label, package, parts, files.released(files.folder_of(package)), exceptions.read(package), on)

    def breaks(self, version: str) -> list[Finding]:
        """What breaks clients of any release of that version, whether it is accepted or not."""
        return _breaks(self.releases.get(version, ()), self.parts.get(version, {"paths": {}}), self.on)

    def exception_for(self, finding: Finding) -> AcceptedBreak | None:
        """The exception that covers a break on this day."""
        return next((each for each in self.accepted if each.covers(finding) and self.on <= each.expires), None)


def _breaks(chain: Sequence[Release], document: Mapping[str, Any], on: date) -> list[Finding]:
    """What breaks clients of a chain of releases; what a later release accepted breaks no more."""
    found: dict[tuple[str, str], Finding] = {}
    for number, release in enumerate(chain):
        settled = {each for later in chain[number + 1 :] for each in later.accepted}
        for each in operations.compare(release.document, document):
            if (each.rule, each.path) not in settled:
                known = replace(each, breaks=f"{each.breaks} ({release.name}, {release.day})")
                found.setdefault((each.rule, each.path), known)
    latest = chain[-1] if chain else None
    for each in lifecycle.compare(latest.document if latest else {}, document, on=on):
        whose = f"{each.breaks} ({latest.name}, {latest.day})" if latest else each.breaks
        found.setdefault((each.rule, each.path), replace(each, breaks=whose))
    return sorted(found.values())


def release(module: modules.ModuleConfig, *, on: date, version: str | None = None) -> Iterator[tuple[str, Path | None]]:
    """Freeze the module's document, per version; yields each with its new file, None where nothing changed.

    Raises Broken, before anything is written, if it breaks an earlier release and no exception accepts that; and
    Misconfigured if an earlier release was changed.
    """
    if found := files.altered(files.folder_of(Path(module.path))):
        raise Misconfigured(f"{module.label}: {'; '.join(found)}. Restore it from git: a release never changes.")
    api = Api.of(module, on=on)
    chosen = [version] if version else sorted(api.parts)
    if unknown := set(chosen) - api.parts.keys():
        raise Misconfigured(
            f"{module.label} has no paths of {', '.join(unknown)}. It has {', '.join(sorted(api.parts)) or 'none'}."
        )
    broken = {each: api.breaks(each) for each in chosen}
    refused = [finding for each in chosen for finding in broken[each] if api.exception_for(finding) is None]
    if refused:
        raise Broken(_listed(api, refused))
    for each in chosen:
        chain = api.releases.get(each, ())
        if chain and chain[-1].has(api.parts[each]):
            yield each, None
            continue
        reasons = [(finding, covered.reason) for finding in broken[each] if (covered := api.exception_for(finding))]
        folder = files.folder_of(api.package)
        yield each, files.write(folder, each, api.parts[each], day=on, accepted=reasons)


@dataclass(frozen=True, slots=True)
class Report:
    """What a check found: `problems` fail it, `notes` do not."""

    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def check(module: modules.ModuleConfig, *, on: date, history: History) -> Report:
    """Compare a module's API with all of its releases, and these with their history."""
    report = Report()
    package = Path(module.path)
    report.problems.extend(_altered(module, history))
    if report.problems:
        return report
    api = Api.of(module, on=on)
    used: set[AcceptedBreak] = set()
    broken: list[Finding] = []
    for version in sorted({*api.parts, *api.releases}):
        chain = api.releases.get(version, ())
        if not chain:
            command = f"manage.py openapi release {module.label} --version {version}"
            report.problems.append(f"{module.label} {version} was never released. Run `{command}` and commit its file.")
            continue
        report.problems.extend(_unlawful(chain, history.additions(files.folder_of(package))))
        for finding in api.breaks(version):
            used |= {each for each in api.accepted if each.covers(finding)}
            if api.exception_for(finding) is None:
                broken.append(finding)
        if version in api.parts and not chain[-1].has(api.parts[version]):
            report.notes.append(
                f"{module.label} {version} has changes that no release promises yet: `manage.py openapi release`."
            )
    report.problems.extend(_stale(api, used))
    if broken:
        report.problems.append(_listed(api, broken))
    return report


def _stale(api: Api, used: AbstractSet[AcceptedBreak]) -> Iterator[str]:
    """Exceptions that are too old, or cover no break."""
    for each in api.accepted:
        where = f"{api.label}: the exception for {each.rule} at {each.path}"
        if api.on > each.expires:
            yield f"{where} expired on {each.expires}. Release the change, or undo it."
        elif each not in used:
            yield f"{where} covers nothing: remove it."


def _altered(module: modules.ModuleConfig, history: History) -> Iterator[str]:
    """Released files that are not as they were released."""
    folder = files.folder_of(Path(module.path))
    remedy = "A released document never changes: restore it from git, and release the change as the next one"
    found = set(files.altered(folder))
    for path, addition in history.additions(folder).items():
        if path.suffix == ".json" and not addition.is_content_of(path):
            name = path.relative_to(folder).as_posix()
            found.add(f"{name} was {'changed' if path.is_file() else 'deleted'}")
    for each in sorted(found):
        yield f"{module.label}: {files.folder_of(Path('modules', module.label))}/{each}. {remedy}."


def _unlawful(chain: Sequence[Release], additions: Mapping[Path, Addition]) -> Iterator[str]:
    """Releases that broke an earlier one when they were committed: `openapi release` would not have written them."""
    for number, each in enumerate(chain):
        added = additions.get(each.path)
        day = added.day if added else None
        for finding in _breaks(chain[:number], each.document, day or each.day):
            if (finding.rule, finding.path) not in each.accepted:
                yield f"{each.path.name}, {each.name}, broke an earlier one: {finding}"


def _listed(api: Api, findings: Sequence[Finding]) -> str:
    """The findings, those of one rule and change together, and what to do."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for each in findings:
        groups.setdefault((each.severity, each.rule, each.what, each.breaks), []).append(each.path)
    lines = [f"{api.label} breaks what it released:"]
    for (severity, rule, what, breaks), paths in groups.items():
        lines += [f"  {severity} [{rule}] {what}. It breaks {breaks}:", *(f"    {path}" for path in paths)]
    return "\n".join([*lines, ADVICE.format(exceptions=f"modules/{api.label}/api/exceptions.toml")])
