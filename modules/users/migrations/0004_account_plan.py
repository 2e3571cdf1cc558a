"""Add the plans of accounts. Rows that exist, and those of code that does not know the column, are free."""

from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps


def bound_locks(apps: StateApps, editor: BaseDatabaseSchemaEditor) -> None:
    """Fail after five seconds behind a long transaction: every log-in reads the table, and would wait too."""
    del apps
    if editor.connection.vendor == "postgresql":
        editor.execute("SET LOCAL lock_timeout = '5s'")


class Migration(migrations.Migration):
    dependencies = [("users", "0003_versions")]

    operations = [
        migrations.RunPython(bound_locks, migrations.RunPython.noop),
        migrations.AddField(
            model_name="account",
            name="plan",
            field=models.CharField(
                choices=[("free", "free"), ("pro", "pro")], db_default="free", default="free", max_length=16
            ),
        ),
    ]
