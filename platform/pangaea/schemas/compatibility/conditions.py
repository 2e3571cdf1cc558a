"""Keywords that are compared as a whole: conditions, what is left of `allOf`, content of texts, unknown ones."""

from pangaea.schemas.compatibility import scalars
from pangaea.schemas.compatibility.findings import Effect
from pangaea.schemas.compatibility.normal import KEYED, NESTED
from pangaea.schemas.compatibility.walk import Pair, Walk, keyword_changes

COMPARED = frozenset(
    {
        *scalars.LIMITS,
        *NESTED,
        *KEYED,
        *("additionalProperties", "allOf", "anyOf", "const", "contains", "contentEncoding", "contentMediaType"),
        *(
            "dependentRequired",
            "else",
            "enum",
            "format",
            "if",
            "maxContains",
            "minContains",
            "multipleOf",
            "not",
            "oneOf",
        ),
        *("pattern", "prefixItems", "properties", "readOnly", "required", "then", "type", "unevaluatedItems"),
        *("unevaluatedProperties", "uniqueItems", "writeOnly", "x-extensible-enum"),
    }
)
"""Keywords that some part of the engine compares."""
ADDED_OR_REMOVED = {
    "not": "not",
    "if": "if",
    "unevaluatedItems": "unevaluated-items",
    "unevaluatedProperties": "unevaluated-properties",
}


def compare(walk: Walk, pair: Pair) -> None:
    """Report what differs between the keywords that restrict a value as a whole."""
    old, new, path = pair
    for keyword, name in ADDED_OR_REMOVED.items():
        both = keyword_changes(walk, keyword, name, pair)
        if both and walk.old.expanded(both[0]) != walk.new.expanded(both[1]):
            walk.report(f"{name}-changed", Effect.BOTH, f"`{keyword}` is another schema", path)
    for keyword, name in (("then", "then"), ("else", "else"), ("contentSchema", "content-schema")):
        if both := keyword_changes(walk, keyword, name, pair):
            walk.compare(*both, path)
    for keyword, name in (("contentMediaType", "content-media-type"), ("contentEncoding", "content-encoding")):
        if old.get(keyword) != new.get(keyword):
            what = f"`{keyword}` is {new.get(keyword, 'none')}, and was {old.get(keyword, 'none')}"
            walk.report(f"{name}-changed", Effect.BOTH, what, path)
    _dependent(walk, pair)
    _conjunction(walk, pair)
    for keyword in sorted((old.keys() | new.keys()) - COMPARED):
        if old.get(keyword) != new.get(keyword):
            walk.report("keyword-changed", Effect.BOTH, f"`{keyword}` changed, whose meaning is not known", path)


def _dependent(walk: Walk, pair: Pair) -> None:
    old, new, path = pair
    before, after = old.get("dependentRequired", {}), new.get("dependentRequired", {})
    for name in sorted({*before, *after}):
        lost, gained = set(before.get(name, ())), set(after.get(name, ()))
        lost, gained = lost - gained, gained - lost
        if lost or gained:
            kind = "added" if name not in before else "removed" if name not in after else "changed"
            effect = Effect.BOTH if lost and gained else Effect.NARROWS if gained else Effect.WIDENS
            what = f"with {name}, {', '.join(sorted(after.get(name, ()))) or 'nothing more'} is required"
            walk.report(f"dependent-required-{kind}", effect, what, path)
    schemas = old.get("dependentSchemas", {}), new.get("dependentSchemas", {})
    for name in sorted({*schemas[0], *schemas[1]}):
        if name not in schemas[0]:
            walk.report("dependent-schema-added", Effect.NARROWS, f"{name} brings more restrictions", path)
        elif name not in schemas[1]:
            walk.report("dependent-schema-removed", Effect.WIDENS, f"{name} brings fewer restrictions", path)
        else:
            walk.compare(schemas[0][name], schemas[1][name], path)


def _conjunction(walk: Walk, pair: Pair) -> None:
    """What is left of `allOf`: each part is there on both sides, or restricts on one side only."""
    old, new, path = pair
    before = {walk.old.expanded(each) for each in old.get("allOf", ())}
    after = {walk.new.expanded(each) for each in new.get("allOf", ())}
    if after - before:
        walk.report("all-of-added", Effect.NARROWS, "`allOf` has a part more", path)
    if before - after:
        walk.report("all-of-removed", Effect.WIDENS, "`allOf` lacks a part", path)
