"""One function locks a module's keys for `publish` and the triggers of change capture; the progress of snapshots."""

from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

# A transaction that changes very many keys locks the module instead: each lock takes an entry in the server's shared
# memory, and a bulk update of 10,000 rows would use up all of them.
CREATE = """
CREATE FUNCTION pangaea_lock_keys(keys text[]) RETURNS void LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    module text := current_schema();
BEGIN
    IF cardinality(keys) > 500 THEN
        PERFORM pg_advisory_xact_lock(hashtextextended(module, 0));
    ELSE
        PERFORM pg_advisory_xact_lock_shared(hashtextextended(module, 0));
        PERFORM pg_advisory_xact_lock(hashtextextended(module || '/' || key, 0))
            FROM (SELECT key FROM unnest(keys) AS key ORDER BY key COLLATE "C") AS sorted;
    END IF;
END $$;
"""
DROP = "DROP FUNCTION pangaea_lock_keys(text[]);"


def create(apps: StateApps, editor: BaseDatabaseSchemaEditor) -> None:
    """PostgreSQL only: SQLite has one writing transaction at a time."""
    del apps
    if editor.connection.vendor == "postgresql":
        editor.execute(CREATE)


def drop(apps: StateApps, editor: BaseDatabaseSchemaEditor) -> None:
    """Undo `create`."""
    del apps
    if editor.connection.vendor == "postgresql":
        editor.execute(DROP)


class Migration(migrations.Migration):
    dependencies = [("pangaea", "0002_notify_relay")]
    operations = [
        migrations.RunPython(create, drop),
        migrations.CreateModel(
            name="Snapshot",
            fields=[
                ("capture", models.CharField(max_length=127, primary_key=True, serialize=False)),
                ("after", models.TextField(null=True)),
                ("rows", models.BigIntegerField(default=0)),
                ("started_at", models.DateTimeField()),
                ("finished_at", models.DateTimeField(null=True)),
            ],
            options={"db_table": "pangaea_snapshot"},
        ),
    ]
