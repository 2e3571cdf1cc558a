"""All that differs between PostgreSQL and SQLite: one class per engine, chosen by `of`.

    base         Engine: the interface of both; ShadowStore: its part for a rebuild's shadow
    postgresql   many processes and many writers: advisory locks, LISTEN and NOTIFY, schemas
    sqlite       one process and one writer at a time: needs hardly any of these

ENGINE in Django's DATABASES names an engine's package, so Django imports the package's `base` while apps are loaded:
nothing here may import a model.
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
