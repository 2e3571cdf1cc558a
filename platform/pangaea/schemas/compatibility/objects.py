"""Members of objects."""

from pangaea.schemas.compatibility.findings import Direction, Effect, Severity
from pangaea.schemas.compatibility.normal import Document
from pangaea.schemas.compatibility.shapes import Plain, Schema, member
from pangaea.schemas.compatibility.walk import Pair, Walk, keyword_changes

READ_ONLY = "readOnly"
WRITE_ONLY = "writeOnly"


def compare(walk: Walk, pair: Pair) -> None:
    """Report what differs between the members that two schemas describe."""
    old, new, path = pair
    old, new = _sent(walk.direction, walk.old, old), _sent(walk.direction, walk.new, new)
    pair = Pair(old, new, path)
    _required(walk, pair)
    before, after = old.get("properties", {}), new.get("properties", {})
    for name in sorted({*before, *after}):
        where = step(path, name)
        if name in before and name in after:
            walk.compare(before[name], after[name], where)
        elif name in before:
            _removed(walk, name, pair)
        elif (open_before := _of_others(old, name)) is not None:
            walk.compare(open_before, after[name], where)
    _additional(walk, pair)
    _patterns(walk, pair)


def step(path: str, name: str) -> str:
    """The JSON Path of an object's member."""
    return f"{path}.{name}" if name.isidentifier() else f"{path}['{name}']"


def _sent(direction: Direction, document: Document, schema: Plain) -> Plain:
    """The schema without the members that are not sent this way: `readOnly` in requests, `writeOnly` in answers."""
    unsent = READ_ONLY if direction.owner_reads else WRITE_ONLY
    members = schema.get("properties", {})
    names = {name for name, each in members.items() if document.plain(each).get(unsent)}
    if not names:
        return schema
    required = [name for name in schema.get("required", ()) if name not in names]
    return schema | {"properties": {k: v for k, v in members.items() if k not in names}, "required": required}


def _required(walk: Walk, pair: Pair) -> None:
    old, new, path = pair
    before, after = set(old.get("required", ())), set(new.get("required", ()))
    for name in sorted(after - before):
        where = step(path, name)
        if name in old.get("properties", {}):
            walk.report("{}-property-became-required", Effect.NARROWS, "it is required, and was optional", where)
        else:
            walk.report("new-required-{}-property", Effect.NARROWS, "it is required, and was not known", where)
    for name in sorted(before - after):
        where = step(path, name)
        if name in new.get("properties", {}):
            walk.report("{}-property-became-optional", Effect.WIDENS, "it may be missing, and was always there", where)
        else:
            walk.report("{}-required-property-removed", Effect.WIDENS, "it is missing, and was always there", where)


def _of_others(schema: Plain, name: str) -> Schema | None:
    """What the schema states about a member that it does not name; None where it states nothing."""
    found = member(schema, name)
    return None if found is False or ("additionalProperties" not in schema and found is True) else found


def _removed(walk: Walk, name: str, pair: Pair) -> None:
    old, new, path = pair
    where, before, after = step(path, name), old["properties"][name], member(new, name)
    if not walk.direction.owner_reads:
        # A required one is reported already. An optional one is no longer written, or as an additional member.
        if (written := _of_others(new, name)) is not None:
            walk.compare(before, written, where)
    elif after is False:
        walk.report("{}-property-removed", Effect.NARROWS, "it is refused, and was accepted", where)
    elif after in (True, {}):
        what = "it has no effect, and is not refused"
        walk.report("{}-property-removed", Effect.NARROWS, what, where, Severity.WARNING)
    else:
        walk.compare(before, after, where)


def _additional(walk: Walk, pair: Pair) -> None:
    old, new, path = pair
    before, after = old.get("additionalProperties", True), new.get("additionalProperties", True)
    if walk.direction.owner_reads:
        if after is False:
            if before is not False:
                what = "members that the schema does not name are refused, and were accepted"
                walk.report("additional-properties-forbidden", Effect.NARROWS, what, path)
        elif before is not False:
            walk.compare(before, after, f"{path}.*")
    # Readers ignore members that they do not know; only of a map they read all.
    elif before is not False and before not in (True, {}) and after is not False:
        walk.compare(before, after, f"{path}.*")


def _patterns(walk: Walk, pair: Pair) -> None:
    old, new, path = pair
    before, after = old.get("patternProperties", {}), new.get("patternProperties", {})
    for pattern in sorted({*before, *after}):
        where = step(path, pattern)
        if pattern in before and pattern in after:
            walk.compare(before[pattern], after[pattern], where)
        elif pattern in after:
            walk.report("pattern-property-added", Effect.NARROWS, f"members named {pattern} are restricted", path)
        else:
            closes = new.get("additionalProperties", True) not in (True, {})
            effect = Effect.BOTH if closes else Effect.WIDENS
            walk.report("pattern-property-removed", effect, f"members named {pattern} are not described", path)
    if names := keyword_changes(walk, "propertyNames", "property-names", pair):
        walk.compare(*names, f"{path}.*~")
