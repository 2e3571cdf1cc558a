"""The template: Envoy's configuration in parts, with gaps."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from pangaea.errors import Misconfigured

TEMPLATE = "envoy.template.yaml"
SECRETS = ("edge", "gateway", "authority")
PARTS = frozenset(
    {"bootstrap", "listener", "listener_tls", "cluster", "cluster_static", "cluster_discovered", "cluster_tls"}
    | {"cluster_any", "accepts_html", "page", "page_is_read", "problem_page"}
    | {"route", "idempotent", "nowhere", "limit", "bucket", "by_address", "by_token", "tokens", "open", "cors"}
    | {"answers", "answer", "answer_headers", "problem", "plain"}
    | {*SECRETS}
)
"""The documents of the template: each is a table with one key, its name."""

Template = Mapping[str, Any]
"""Envoy's configuration in parts, by name, with gaps like `${module}`."""


def template(directory: Path) -> Template:
    """The template in that folder. Raises Misconfigured."""
    file = directory / TEMPLATE
    try:
        documents = list(yaml.safe_load_all(file.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise Misconfigured(f"There is no {file}. Name the folder that holds {TEMPLATE} with --directory.") from error
    except yaml.YAMLError as error:
        raise Misconfigured(f"{file} is not YAML: {error}") from error
    if odd := [each for each in documents if not isinstance(each, dict) or len(each) != 1]:
        raise Misconfigured(f"{file}: every document is a table with one key, its name; {odd[0]!r:.80} is not.")
    parts = {name: part for each in documents for name, part in each.items()}
    if parts.keys() != PARTS:
        raise Misconfigured(f"{file} lacks or has too much of: {', '.join(sorted(parts.keys() ^ PARTS))}.")
    return parts


def fill(part: Any, values: Mapping[str, Any]) -> Any:
    """The part of the template with its gaps filled.

    A value that consists of one gap gets the type of what fills it; if that is None, its key or item is left out.
    """
    if isinstance(part, dict):
        filled = ((key, fill(value, values)) for key, value in part.items())
        return {key: value for key, value in filled if value is not None}
    if isinstance(part, list):
        return [each for each in (fill(value, values) for value in part) if each is not None]
    if not isinstance(part, str):
        return part
    for name, value in values.items():
        gap = f"${{{name}}}"
        if part == gap:
            return value
        part = part.replace(gap, str(value))
    if "${" in part:
        raise Misconfigured(f"{TEMPLATE} has a gap that nothing fills: {part!r}. Known here: {', '.join(values)}.")
    return part
