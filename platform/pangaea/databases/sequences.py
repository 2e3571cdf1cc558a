"""Sequences that would give ids that are in use: named by checks, and advanced after every migrate."""

from typing import Any

from django.db import connections

from pangaea.databases import engines
from pangaea.databases.aliases import installed, schema_of

REMEDY = "Run `manage.py migrate`: it advances the sequence."


def late(alias: str) -> list[str]:
    """The sequences of an alias that are behind their tables, each as a sentence."""
    schema = schema_of(alias)
    return [
        f"The sequence {schema}.{each.sequence} continues at {each.next_id}, and {schema}.{each.table} has an id of "
        f"{each.highest}, as after a restore of tables alone: an insert fails if its id is in use."
        for each in engines.of(alias).late_sequences(connections[alias])
    ]


def after_migrate(*, using: str, **_: Any) -> None:
    """Let the sequences of an alias continue after the highest ids."""
    if using in installed():
        engines.of(using).advance_sequences(connections[using])
