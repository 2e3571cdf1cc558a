"""`oneOf`, `anyOf`, and `null` among them: a value matches one of several schemas."""

from collections.abc import Iterator
from itertools import combinations, product

from pangaea.schemas.compatibility.findings import Effect, Severity
from pangaea.schemas.compatibility.normal import Document, merge
from pangaea.schemas.compatibility.shapes import Plain, declared_types, disjoint, type_names
from pangaea.schemas.compatibility.walk import Pair, Walk

KEYWORDS = ("oneOf", "anyOf")


def are_in(*schemas: Plain) -> bool:
    """Whether one of the schemas has alternatives."""
    return any(keyword in each for each in schemas for keyword in KEYWORDS)


def compare(walk: Walk, pair: Pair) -> None:
    """Report what differs between the alternatives of two schemas; one without any has itself as the only one."""
    old, new, path = pair
    before, after = _by_type(walk.old.alternatives(old)), _by_type(walk.new.alternatives(new))
    owner_reads = walk.direction.owner_reads
    writer, reader = (before, after) if owner_reads else (after, before)

    def in_order(written: Plain, accepted: Plain) -> tuple[Plain, Plain]:
        return (written, accepted) if owner_reads else (accepted, written)

    # Each alternative of the writer needs one of the reader's that accepts all of it.
    uncovered = [each for each in writer if all(walk.breaks(*in_order(each, other)) for other in reader)]
    free = [each for each in reader if all(walk.breaks(*in_order(other, each)) for other in writer)]
    name = "one-of" if "oneOf" in old or "oneOf" in new else "any-of"
    for each in uncovered:
        partner = _partner(each, free, alone=len(uncovered) == 1)
        if partner is not None:
            walk.compare(*in_order(each, partner), path)
        elif declared_types(each) == {"null"}:
            walk.report("became-not-nullable", Effect.NARROWS, "it must not be null, and might be null", path)
            walk.report("became-nullable", Effect.WIDENS, "it may be null, and was never null", path)
        else:
            what = f"of several forms, one of type {' or '.join(type_names(declared_types(each)))}"
            walk.report(f"{name}-removed", Effect.NARROWS, f"{what} is no longer accepted", path)
            walk.report(f"{name}-added", Effect.WIDENS, f"{what} may come, and did not", path)
    _overlap(walk, pair)


def _by_type(found: list[Plain]) -> list[Plain]:
    """The alternatives, with those of several types in parts: `null` is often one of them."""
    split: list[Plain] = []
    for each in found:
        names = each.get("type")
        split += [each | {"type": name} for name in names] if isinstance(names, list) and names else [each]
    return split


def _partner(schema: Plain, others: list[Plain], *, alone: bool) -> Plain | None:
    """The alternative on the other side that is likely the same one, changed: the only one of its type."""
    same = [each for each in others if declared_types(each) == declared_types(schema)]
    if declared_types(schema) == {"null"} or len(same) > 1:
        return None
    rest = [each for each in others if declared_types(each) != {"null"}]
    return same[0] if same else rest[0] if alone and len(rest) == 1 else None


def _overlap(walk: Walk, pair: Pair) -> None:
    """Report that a value may match two alternatives of a reader that wants exactly one."""
    document, reader = (walk.new, pair.new) if walk.direction.owner_reads else (walk.old, pair.old)
    if walk.old.expanded(pair.old) == walk.new.expanded(pair.new):
        return
    strict = walk.direction.owner_reads
    for forms in _exclusive(document, reader):
        both = (each for one, other in combinations(forms, 2) for each in product(one, other))
        if not all(disjoint(*each, strict=strict) for each in both):
            what = "a value may match two forms of `oneOf`, which then refuses it; `anyOf` would not"
            walk.report("one-of-overlapping", Effect.BOTH, what, pair.path, Severity.WARNING)
            return


def _exclusive(document: Document, schema: Plain) -> Iterator[list[list[Plain]]]:
    """For each `oneOf` of a schema and of its alternatives, the forms, each with its own alternatives."""
    if "oneOf" in schema:
        rest = {name: value for name, value in schema.items() if name != "oneOf"}
        yield [document.alternatives(merge(rest, document.plain(each))) for each in schema["oneOf"]]
    for keyword in KEYWORDS:
        for each in schema.get(keyword, ()):
            yield from _exclusive(document, document.plain(each))
