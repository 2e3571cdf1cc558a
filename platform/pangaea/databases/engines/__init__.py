"""What differs between PostgreSQL and SQLite, and nothing else does: one class per engine, chosen by `of`.

base         Engine: what the kernel asks of either; ShadowStore: the part about a rebuild's shadow
postgresql   many processes and many writers: advisory locks, LISTEN and NOTIFY, schemas
sqlite       one process and one writer at a time: most of that is not needed

Each engine's package is also what ENGINE names in Django's DATABASES, so Django imports its `base` while it loads its
apps. Nothing here imports a model.
"""

from typing import TYPE_CHECKING, cast

from django.db import connections

from pangaea.databases.engines.base import NewMessage

if TYPE_CHECKING:
    from pangaea.databases.engines.base import Engine

__all__ = ["NewMessage", "of"]


def of(alias: str) -> "Engine":
    """The engine of an alias's database."""
    return cast("Engine", connections[alias].engine)  # type: ignore[attr-defined] # both backends have it
