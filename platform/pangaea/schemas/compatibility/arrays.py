"""Items of arrays."""

from pangaea.schemas.compatibility.findings import Effect
from pangaea.schemas.compatibility.shapes import Plain, Schema
from pangaea.schemas.compatibility.walk import Pair, Walk, keyword_changes


def compare(walk: Walk, pair: Pair) -> None:
    """Report what differs between the items that two schemas describe."""
    old, new, path = pair
    for position in range(max(len(old.get("prefixItems", ())), len(new.get("prefixItems", ())))):
        walk.compare(_item(old, position), _item(new, position), f"{path}[{position}]")
    walk.compare(old.get("items", True), new.get("items", True), f"{path}[*]")
    before, after = old.get("uniqueItems", False), new.get("uniqueItems", False)
    if after and not before:
        walk.report("unique-items-set", Effect.NARROWS, "an item must not come twice, and might", path)
    if before and not after:
        walk.report("unique-items-unset", Effect.WIDENS, "an item may come twice, and never did", path)
    _contains(walk, pair)


def _item(schema: Plain, position: int) -> Schema:
    first = schema.get("prefixItems", ())
    found: Schema = first[position] if position < len(first) else schema.get("items", True)
    return found


def _contains(walk: Walk, pair: Pair) -> None:
    old, new, path = pair
    both = keyword_changes(walk, "contains", "contains", pair)
    if both is None:
        return
    if "maxContains" not in old and "maxContains" not in new:
        walk.compare(*both, f"{path}[*]")
    elif walk.old.expanded(both[0]) != walk.new.expanded(both[1]):
        walk.report("contains-changed", Effect.BOTH, "`contains` is another schema", path)
    least = [each.get("minContains", 1) for each in (old, new)]
    most = [each.get("maxContains") for each in (old, new)]
    if least[0] != least[1]:
        grew = least[1] > least[0]
        word, effect = ("increased", Effect.NARROWS) if grew else ("decreased", Effect.WIDENS)
        walk.report(f"min-contains-{word}", effect, f"`minContains` is {least[1]}, and was {least[0]}", path)
    if most[0] != most[1]:
        grew = most[1] is None or (most[0] is not None and most[1] > most[0])
        word, effect = ("increased", Effect.WIDENS) if grew else ("decreased", Effect.NARROWS)
        walk.report(f"max-contains-{word}", effect, f"`maxContains` is {most[1]}, and was {most[0]}", path)
