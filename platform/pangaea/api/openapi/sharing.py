"""Parts that occur often, moved into components: a reader sees what an operation has of its own."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from pangaea.api.openapi.problems import MEDIA_TYPE, responses_of


def share(document: dict[str, Any]) -> None:
    """Move examples, headers and responses that occur more than once into the document's components.

    Of several that have the same name, the one that occurs most often is moved, and the others stay where they are.
    """
    responses = list(responses_of(document))
    problems = [each["content"][MEDIA_TYPE] for each in responses if MEDIA_TYPE in each.get("content", {})]
    _share(document, "examples", [each["examples"] for each in problems])
    _share(document, "headers", [each["headers"] for each in responses if "headers" in each])
    operations = [operation["responses"] for item in document["paths"].values() for operation in item.values()]
    _share(document, "responses", operations, only=MEDIA_TYPE, prefix="Problem")


def _share(
    document: dict[str, Any],
    kind: str,
    places: Iterable[dict[str, Any]],
    *,
    only: str = "",
    prefix: str = "",
) -> None:
    places = list(places)
    counted: dict[str, Counter[str]] = {}
    for place in places:
        for name, part in place.items():
            if not only or only in part.get("content", {}):
                counted.setdefault(name, Counter())[_text(part)] += 1
    chosen = {name: found.most_common(1)[0] for name, found in counted.items()}
    shared = {name: text for name, (text, times) in chosen.items() if times > 1}
    components = document["components"].setdefault(kind, {})
    for name in sorted(shared):
        components[prefix + _named(name)] = json.loads(shared[name])
    for place in places:
        for name, part in place.items():
            if shared.get(name) == _text(part):
                place[name] = {"$ref": f"#/components/{kind}/{prefix}{_named(name)}"}


def _named(name: str) -> str:
    return "" if name == "default" else name


def _text(part: Mapping[str, Any]) -> str:
    return json.dumps(part, sort_keys=False)
