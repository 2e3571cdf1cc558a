"""The triggers of a module's captures: created after every migrate, compared with the declarations at every start."""

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.core.checks import CheckMessage, Error
from django.db import connections, transaction
from django.db.utils import DatabaseError

from pangaea import modules
from pangaea.change_capture.declaration import Capture
from pangaea.change_capture.postgresql import PostgreSQL
from pangaea.change_capture.sql import Dialect
from pangaea.change_capture.sqlite import SQLite
from pangaea.outbox.models import OutboxMessage

REMEDY = "Run `manage.py migrate`: it creates the triggers again."
TAG = "pangaea_captures"


def dialect_of(alias: str) -> Dialect:
    """The SQL of an alias's engine."""
    return PostgreSQL(alias) if connections[alias].vendor == "postgresql" else SQLite()


def captures_of(alias: str) -> list[Capture]:
    """The captures of an alias's module."""
    return modules.named(alias).load_captures() if _is_known(alias) else []


def install(alias: str, captures: Sequence[Capture]) -> bool:
    """Replace the module's triggers by those of these captures. False if the triggers already match.

    A capture whose table or one of whose columns is missing waits for the migration that creates it.
    """
    connection, dialect = connections[alias], dialect_of(alias)
    ready = [each for each in captures if _is_ready(alias, each)]
    if dialect.installed(connection) == _expected(dialect, ready):
        return False
    # In one transaction: writers of the tables wait, so that no row changes while its trigger is missing.
    with transaction.atomic(using=alias), connection.cursor() as cursor:
        dialect.remove(connection)
        for capture in ready:
            for statement in dialect.triggers(capture).values():
                cursor.execute(statement)
    return True


def faults(alias: str, captures: Sequence[Capture] | None = None) -> list[str]:
    """The faults of these captures' triggers, or of all triggers of the alias, as sentences."""
    if not _is_known(alias):
        return []
    dialect = dialect_of(alias)
    declared = _expected(dialect, captures_of(alias) if captures is None else captures)
    installed = dialect.installed(connections[alias])
    found = [f"The trigger {name} is missing." for name in declared.keys() - installed.keys()]
    found += [
        f"The trigger {name} is not as declared."
        for name in declared.keys() & installed.keys()
        if declared[name] != installed[name]
    ]
    if captures is None:
        found += [f"The trigger {name} belongs to no declaration." for name in installed.keys() - declared.keys()]
    return sorted(found)


def check(
    app_configs: Sequence[AppConfig] | None, databases: Sequence[str] | None = None, **_: Any
) -> list[CheckMessage]:
    """Check the triggers in the databases that the caller names: `manage.py check --database orders`."""
    del app_configs
    found: list[CheckMessage] = []
    for alias in databases or ():
        try:
            found += [Error(fault, hint=REMEDY, obj=alias, id="pangaea.E014") for fault in faults(alias)]
        except DatabaseError as error:
            found.append(Error(f"The triggers cannot be read: {error}", obj=alias, id="pangaea.E015"))
    return found


def before_migrate(*, using: str, plan: Sequence[Any] = (), **_: Any) -> None:
    """Remove the triggers on SQLite, where a table or column that a trigger names cannot be rebuilt or dropped."""
    if plan and connections[using].vendor == "sqlite" and _is_known(using):
        with transaction.atomic(using=using):
            dialect_of(using).remove(connections[using])


def after_migrate(*, using: str, **_: Any) -> None:
    """Create the triggers as declared."""
    if _is_known(using):
        install(using, captures_of(using))


def _is_known(alias: str) -> bool:
    return alias in modules.labels()


def _expected(dialect: Dialect, captures: Sequence[Capture]) -> dict[str, str]:
    return {name: text for capture in captures for name, text in dialect.expected(capture).items()}


def _is_ready(alias: str, capture: Capture) -> bool:
    connection = connections[alias]
    with connection.cursor() as cursor:
        tables = set(connection.introspection.table_names(cursor))
        if not {capture.table, OutboxMessage._meta.db_table} <= tables:
            return False
        found = {each.name for each in connection.introspection.get_table_description(cursor, capture.table)}
    return {capture.identity.name, capture.key.name, *capture.columns} <= found
