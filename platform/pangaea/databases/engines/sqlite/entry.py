"""A module's entry in Django's DATABASES: one file."""

from typing import Any

ENGINE = "pangaea.databases.engines.sqlite"


def entry(parsed: dict[str, Any]) -> dict[str, Any]:
    """The entry for a URL, given as Django has parsed it."""
    return parsed | {
        "ENGINE": ENGINE,
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA recursive_triggers=ON;",
        },
    }
