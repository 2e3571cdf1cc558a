"""The triggers of a module's captures: made after every migrate, compared with the declarations at every start."""

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

REMEDY = "Run `manage.py migrate`: it makes the triggers anew."
TAG = "pangaea_captures"


def dialect(alias: str) -> Dialect:
    """How to say it to the database behind an alias."""
    return PostgreSQL(alias) if connections[alias].vendor == "postgresql" else SQLite()


def captures_of(alias: str) -> list[Capture]:
    """What the module behind an alias captures."""
    return modules.named(alias).load_captures() if _is_known(alias) else []


def install(alias: str, captures: Sequence[Capture]) -> bool:
    """Make the module's triggers these captures'; False where they are so already.

    A capture whose table is not there, or lacks a column, waits for the migration that makes it.
    """
    connection, speech = connections[alias], dialect(alias)
    ready = [each for each in captures if _is_ready(alias, each)]
    if speech.installed(connection) == _expected(speech, ready):
        return False
    # One transaction: others that write the tables wait, so no row changes while there is no trigger.
    with transaction.atomic(using=alias), connection.cursor() as cursor:
        speech.remove(connection)
        for capture in ready:
            for statement in speech.triggers(capture).values():
                cursor.execute(statement)
    return True


def faults(alias: str, captures: Sequence[Capture] | None = None) -> list[str]:
    """What is wrong with the triggers of these captures, or of all behind an alias, in sentences."""
    if not _is_known(alias):
        return []
    speech = dialect(alias)
    wanted = _expected(speech, captures_of(alias) if captures is None else captures)
    there = speech.installed(connections[alias])
    found = [f"The trigger {name} is missing." for name in wanted.keys() - there.keys()]
    found += [
        f"The trigger {name} is not as declared." for name in wanted if wanted[name] != there.get(name, wanted[name])
    ]
    if captures is None:
        found += [f"The trigger {name} belongs to no declaration." for name in there.keys() - wanted.keys()]
    return sorted(found)


def check(
    app_configs: Sequence[AppConfig] | None, databases: Sequence[str] | None = None, **_: Any
) -> list[CheckMessage]:
    """The triggers behind the databases that are to be checked; `manage.py check --database orders`."""
    del app_configs
    found: list[CheckMessage] = []
    for alias in databases or ():
        try:
            found += [Error(fault, hint=REMEDY, obj=alias, id="pangaea.E014") for fault in faults(alias)]
        except DatabaseError as error:
            found.append(Error(f"The triggers cannot be read: {error}", obj=alias, id="pangaea.E015"))
    return found


def before_migrate(*, using: str, plan: Sequence[Any] = (), **_: Any) -> None:
    """Take the triggers off on SQLite, which rebuilds no table and drops no column that a trigger names."""
    if plan and connections[using].vendor == "sqlite" and _is_known(using):
        with transaction.atomic(using=using):
            dialect(using).remove(connections[using])


def after_migrate(*, using: str, **_: Any) -> None:
    """Make the triggers as they are declared."""
    if _is_known(using):
        install(using, captures_of(using))


def _is_known(alias: str) -> bool:
    return alias in modules.labels()


def _expected(speech: Dialect, captures: Sequence[Capture]) -> dict[str, str]:
    return {name: text for capture in captures for name, text in speech.expected(capture).items()}


def _is_ready(alias: str, capture: Capture) -> bool:
    connection = connections[alias]
    with connection.cursor() as cursor:
        tables = set(connection.introspection.table_names(cursor))
        if not {capture.table, OutboxMessage._meta.db_table} <= tables:
            return False
        found = {each.name for each in connection.introspection.get_table_description(cursor, capture.table)}
    return {capture.identity.name, capture.key.name, *capture.columns} <= found
