"""Add the versions of accounts. Rows that exist, and those of code that does not know the column, begin at 1."""

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

from pangaea.databases.versions import VersionField


def bound_locks(apps: StateApps, editor: BaseDatabaseSchemaEditor) -> None:
    """Fail after five seconds behind a long transaction: every log-in reads the table, and would wait too."""
    del apps
    if editor.connection.vendor == "postgresql":
        editor.execute("SET LOCAL lock_timeout = '5s'")


class Migration(migrations.Migration):
    dependencies = [("users", "0002_grace_of_a_refresh")]

    operations = [
        migrations.RunPython(bound_locks, migrations.RunPython.noop),
        migrations.AddField(
            model_name="account",
            name="version",
            field=VersionField(db_default=1, default=1, editable=False),
        ),
    ]
