"""A module's entry in Django's DATABASES: one file."""

from typing import Any

ENGINE = "pangaea.databases.engines.sqlite"


def entry(path: str) -> dict[str, Any]:
    """The entry for a file."""
    return {
        "ENGINE": ENGINE,
        "NAME": path,
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA recursive_triggers=ON;",
        },
    }
