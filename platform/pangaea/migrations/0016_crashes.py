"""Rename a dead letter's count of crashes.

A worker of the version before applies batches as usual, but one that has to park or retry a message holds it until the
worker is replaced (`Kind.OUTDATED`).
"""

from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps


def bound_locks(apps: StateApps, editor: BaseDatabaseSchemaEditor) -> None:
    """Fail after five seconds behind a long transaction: every batch of a worker reads the table, and would wait too."""
    del apps
    if editor.connection.vendor == "postgresql":
        editor.execute("SET LOCAL lock_timeout = '5s'")


class Migration(migrations.Migration):
    dependencies = [("pangaea", "0015_sequence")]

    operations = [
        migrations.RunPython(bound_locks, migrations.RunPython.noop),
        migrations.RenameField(model_name="deadletter", old_name="deaths", new_name="crashes"),
        migrations.AlterField(
            model_name="deadletter",
            name="state",
            field=models.CharField(
                choices=[
                    ("behind", "behind another of its key"),
                    ("retrying", "retried automatically"),
                    ("dead", "no longer retried: redrive or discard it"),
                ],
                default="behind",
                max_length=16,
            ),
        ),
    ]
