"""Every document that a client can get: the whole one, and one per module."""

from typing import Any

from pangaea import modules
from pangaea.api.openapi import document

WHOLE = "whole"


def documents() -> dict[str, dict[str, Any]]:
    """The documents by the module's label, and the whole one."""
    return {WHOLE: document.build()[0]} | {module.label: document.build(module)[0] for module in modules.installed()}
