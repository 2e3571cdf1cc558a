"""Whether a database has the migrations that this code was written for."""

from django.db import DatabaseError, connections
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from pangaea.databases import aliases


def unapplied(alias: str) -> list[str]:
    """The migrations of an alias's apps that its database lacks, as `app.name`."""
    executor = MigrationExecutor(connections[alias])
    here = set(aliases.apps_of(alias))
    targets = [node for node in executor.loader.graph.leaf_nodes() if node[0] in here]
    return [f"{migration.app_label}.{migration.name}" for migration, _ in executor.migration_plan(targets)]


def missing(alias: str) -> str:
    """The migrations that the database lacks, as a sentence with the remedy; empty if none, or without an answer."""
    try:
        waiting = unapplied(alias)
    except DatabaseError:
        return ""
    return f"Not applied to {alias}: {', '.join(waiting)}. Run `manage.py migrate`." if waiting else ""


def mismatch(alias: str) -> str:
    """The difference between the migrations of code and database, as a sentence with the remedy.

    It is empty if they do not differ, or if the database does not answer. During a deployment either may be ahead: the
    code of a worker that started before `migrate`, or the database of a worker that has not been replaced yet.
    """
    try:
        # A projection's shadow has no table of migrations.
        if not MigrationRecorder(connections[alias]).has_table():
            return ""
        if waiting := missing(alias):
            return waiting
        if unknown := _unknown(alias):
            return f"{alias} has migrations that this process does not know: {', '.join(unknown)}. Deploy their code."
    except DatabaseError:
        return ""
    return ""


def _unknown(alias: str) -> list[str]:
    here = set(aliases.apps_of(alias))
    loader = MigrationLoader(connections[alias], ignore_no_migrations=True)
    known = {*loader.disk_migrations, *loader.replacements}
    return sorted(
        f"{app}.{name}" for app, name in loader.applied_migrations if app in here and (app, name) not in known
    )
