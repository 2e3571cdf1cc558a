"""The relay assigns positions in one statement, and one recorded attempt covers many batches."""

from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

# The locks are taken by a statement of their own: the next one's snapshot, and the rows that it finds without a
# position, are of a moment when no other transaction can assign any.
CREATE = """
CREATE FUNCTION pangaea_place(ids bigint[], partitions smallint[]) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM 1 FROM pangaea_stream ORDER BY id FOR UPDATE;
    WITH numbered AS (
        SELECT outbox.id, stream.id AS stream, given.partition,
               stream.head + row_number() OVER (PARTITION BY stream.id ORDER BY outbox.id) AS position
        FROM unnest(ids, partitions) AS given (id, partition)
        JOIN pangaea_outbox AS outbox ON outbox.id = given.id AND outbox.position IS NULL
        JOIN pangaea_stream AS stream ON stream.audience = outbox.audience AND stream.partition = given.partition
    ), placed AS (
        UPDATE pangaea_outbox SET partition = numbered.partition, position = numbered.position
        FROM numbered WHERE pangaea_outbox.id = numbered.id
    )
    UPDATE pangaea_stream SET head = grown.head
    FROM (SELECT stream, max(position) AS head FROM numbered GROUP BY stream) AS grown
    WHERE pangaea_stream.id = grown.stream;
END $$;
"""
DROP = "DROP FUNCTION pangaea_place(bigint[], smallint[]);"


def create(apps: StateApps, editor: BaseDatabaseSchemaEditor) -> None:
    """PostgreSQL only: on SQLite, in the same process, a statement costs no round trip."""
    del apps
    if editor.connection.vendor == "postgresql":
        editor.execute(CREATE)


def drop(apps: StateApps, editor: BaseDatabaseSchemaEditor) -> None:
    """Undo `create`."""
    del apps
    if editor.connection.vendor == "postgresql":
        editor.execute(DROP)


class Migration(migrations.Migration):
    dependencies = [("pangaea", "0005_dead_letters")]
    operations = [
        migrations.RunPython(create, drop),
        migrations.AddField("attempt", "until", models.BigIntegerField(default=0), preserve_default=False),
    ]
