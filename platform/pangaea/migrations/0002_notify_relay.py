"""The outbox wakes the relay by a statement trigger, so that inserts in bulk or by hand wake it too."""

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

CREATE = """
CREATE FUNCTION pangaea_notify_relay() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM pg_notify('pangaea_outbox_' || TG_TABLE_SCHEMA, '');
    RETURN NULL;
END $$;
CREATE TRIGGER pangaea_outbox_notify AFTER INSERT ON pangaea_outbox
    FOR EACH STATEMENT EXECUTE FUNCTION pangaea_notify_relay();
"""
DROP = """
DROP TRIGGER pangaea_outbox_notify ON pangaea_outbox;
DROP FUNCTION pangaea_notify_relay();
"""


def create(apps: StateApps, editor: BaseDatabaseSchemaEditor) -> None:
    """PostgreSQL only: on SQLite the relay is in the same process, and an event wakes it."""
    del apps
    if editor.connection.vendor == "postgresql":
        editor.execute(CREATE)


def drop(apps: StateApps, editor: BaseDatabaseSchemaEditor) -> None:
    """Undo `create`."""
    del apps
    if editor.connection.vendor == "postgresql":
        editor.execute(DROP)


class Migration(migrations.Migration):
    dependencies = [("pangaea", "0001_initial")]
    operations = [migrations.RunPython(create, drop)]
