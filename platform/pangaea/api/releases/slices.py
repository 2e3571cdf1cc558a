"""A module's document, in one part per version of its API."""

from collections.abc import Mapping
from typing import Any

from pangaea.api import versioning

UNVERSIONED = "unversioned"
"""The part whose paths have no version: what is promised there, like published keys, is promised for good."""
NAMED = frozenset({"dependentSchemas", "patternProperties", "properties"})
VALUES = frozenset({"const", "enum"})


def version_of(path: str) -> str:
    """The version that a path belongs to: `/api/v1/orders` to `v1`."""
    return versioning.version_of(path) or UNVERSIONED


def by_version(document: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The document's parts: each has the paths of one version, and the components that these use.

    Examples promise nothing; they are left out.
    """
    document = _without_examples(document)
    versions = sorted({version_of(path) for path in document["paths"]})
    return {version: _part(document, version) for version in versions}


def _without_examples(value: Any, *, named: bool = False) -> Any:
    """The value without its keywords for examples. `named`: its keys are names, which may be any word."""
    if isinstance(value, Mapping):
        return {
            name: each if name in VALUES else _without_examples(each, named=not named and name in NAMED)
            for name, each in value.items()
            if named or name not in {"example", "examples"}
        }
    return [_without_examples(each) for each in value] if isinstance(value, list) else value


def _part(document: Mapping[str, Any], version: str) -> dict[str, Any]:
    paths = {path: item for path, item in document["paths"].items() if version_of(path) == version}
    found = {name: value for name, value in document.items() if name not in {"paths", "components", "tags"}}
    used = _used(document, paths)
    schemes = {name for item in paths.values() for name in _schemes(item)}
    schemes |= {name for way in document.get("security", ()) for name in way}
    components: dict[str, dict[str, Any]] = {}
    for kind, members in document.get("components", {}).items():
        wanted = schemes if kind == "securitySchemes" else used.get(kind, set())
        if chosen := {name: each for name, each in members.items() if name in wanted}:
            components[kind] = chosen
    return {**found, "paths": paths, "components": components}


def _schemes(item: Mapping[str, Any]) -> set[str]:
    operations = [each for each in item.values() if isinstance(each, Mapping)]
    return {name for each in operations for way in each.get("security", ()) for name in way}


def _used(document: Mapping[str, Any], paths: Mapping[str, Any]) -> dict[str, set[str]]:
    """The components that the paths refer to, and what these refer to, by kind."""
    used: dict[str, set[str]] = {}
    waiting: list[Any] = [paths]
    while waiting:
        place = waiting.pop()
        if isinstance(place, Mapping):
            reference = place.get("$ref")
            if isinstance(reference, str) and reference.startswith("#/components/"):
                _, _, kind, name = reference.split("/", 3)
                if name not in used.setdefault(kind, set()):
                    used[kind].add(name)
                    waiting.append(document["components"][kind][name])
            waiting.extend(place.values())
        elif isinstance(place, list):
            waiting.extend(place)
    return used
