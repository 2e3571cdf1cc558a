"""One alias per module: its schemas, and the apps whose tables it has."""

from django.apps import apps
from django.db import DEFAULT_DB_ALIAS

from pangaea import modules

KERNEL = "pangaea"
MAX_LABEL_BYTES = 48
"""The most bytes of a module's label: PostgreSQL cuts names after 63, and the longest is `pangaea_outbox_<label>`."""


def schema_of(alias: str) -> str:
    """The PostgreSQL schema of an alias."""
    return "ops" if alias == DEFAULT_DB_ALIAS else alias


def shadow_schema_of(alias: str) -> str:
    """The PostgreSQL schema in which a module's projections are rebuilt; it is empty at other times."""
    return f"{schema_of(alias)}_shadow"


def installed() -> list[str]:
    """`default`, then one alias per installed module."""
    return [DEFAULT_DB_ALIAS, *modules.labels()]


def apps_of(alias: str) -> list[str]:
    """The labels of the apps whose tables this alias has."""
    if alias != DEFAULT_DB_ALIAS:
        return [KERNEL, alias]
    elsewhere = {KERNEL, *modules.labels()}
    return [config.label for config in apps.get_app_configs() if config.label not in elsewhere]
