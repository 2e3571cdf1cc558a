"""Versions of rows: a number that the database raises with every change of the row, whichever statement makes it.

The changes of commands, of the admin, of bulk updates and of raw SQL count, and so do those of the code of the version
before, which runs at the same time during a deployment.
"""

from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.db import connections, models, transaction

from pangaea.databases import engines
from pangaea.databases.aliases import apps_of, installed

REMEDY = "Run `manage.py migrate`: it creates the trigger."


class VersionField(models.BigIntegerField):  # type: ignore[type-arg]  # it takes none at run time
    """A row's version: 1 when it is created, and higher after every update of the row. Only the database writes it.

    A mutator that holds the row's lock adds 1 to the attribute after its update, or reads it again. `migrate` creates
    the trigger. An aggregate has one version: a change of its other tables has to update the root's row too.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"default": 1, "db_default": 1, "editable": False} | options)


def after_migrate(*, using: str, **_: Any) -> None:
    """Create the triggers of the alias's models that have a version, and remove those of no model."""
    if using not in installed():
        return
    engine, connection = engines.of(using), connections[using]
    present, declared = engine.version_triggers(connection), set(_columns(using))
    with transaction.atomic(using=using):
        for table, _column in present - declared:
            engine.drop_version_trigger(connection, table)
        for table, column in declared - present:
            engine.create_version_trigger(connection, table, column)


def faults(alias: str) -> list[str]:
    """The versions that no trigger raises, each as a sentence: a change would leave the row's ETag unchanged."""
    missing = set(_columns(alias)) - engines.of(alias).version_triggers(connections[alias])
    return sorted(
        f"The database does not raise the {column} of {table}: its trigger is missing." for table, column in missing
    )


def before_migrate(*, using: str, plan: Any = (), **_: Any) -> None:
    """Remove the triggers on SQLite, where a column that a trigger names cannot be dropped."""
    if plan and using in installed() and connections[using].vendor == "sqlite":
        engine, connection = engines.of(using), connections[using]
        for table, _column in engine.version_triggers(connection):
            engine.drop_version_trigger(connection, table)


def _columns(alias: str) -> Iterator[tuple[str, str]]:
    """The table and the column of each version at this alias. A table that is not migrated yet waits for its turn."""
    connection = connections[alias]
    with connection.cursor() as cursor:
        tables = connection.introspection.table_names(cursor)
        for model in (each for label in apps_of(alias) for each in apps.get_app_config(label).get_models()):
            for field in model._meta.local_concrete_fields:
                if isinstance(field, VersionField) and (table := model._meta.db_table) in tables:
                    description = connection.introspection.get_table_description(cursor, table)
                    if field.column in {each.name for each in description}:
                        yield table, str(field.column)
