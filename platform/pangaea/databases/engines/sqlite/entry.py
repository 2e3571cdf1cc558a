"""A module's entry in Django's DATABASES: one file."""

from typing import Any

ENGINE = "pangaea.databases.engines.sqlite"


def entry(parsed: dict[str, Any]) -> dict[str, Any]:
    """The entry of a URL that Django has parsed."""
    return parsed | {
        "ENGINE": ENGINE,
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA recursive_triggers=ON;",
        },
    }
