"""Add the versions of orders and products. Rows that exist, and those of code that does not know the column, begin at 1."""

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

from pangaea.databases.versions import VersionField


def bound_locks(apps: StateApps, editor: BaseDatabaseSchemaEditor) -> None:
    """Fail after five seconds behind a long transaction: every order reads these tables, and would wait too."""
    del apps
    if editor.connection.vendor == "postgresql":
        editor.execute("SET LOCAL lock_timeout = '5s'")


class Migration(migrations.Migration):
    dependencies = [("orders", "0003_product_texts")]

    operations = [
        migrations.RunPython(bound_locks, migrations.RunPython.noop),
        migrations.AddField(
            model_name="order",
            name="version",
            field=VersionField(db_default=1, default=1, editable=False),
        ),
        migrations.AddField(
            model_name="product",
            name="version",
            field=VersionField(db_default=1, default=1, editable=False),
        ),
    ]
