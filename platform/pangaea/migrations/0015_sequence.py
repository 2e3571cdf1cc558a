"""Name the relay's function and the outbox's constraints after sequencing, instead of "place".

The former function stays for relays of the version before, which work until they are replaced. The next
migration that changes the relay's functions may drop it.
"""

from collections.abc import Sequence
from typing import Any

from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import ProjectState, StateApps
from django.db.models import BaseConstraint, Q

# The locks are taken by a statement of their own: the next one's snapshot, and the rows that it finds without a
# position, are of a moment when no other transaction can assign any.
CREATE = """
CREATE FUNCTION pangaea_sequence(ids bigint[], partitions smallint[]) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM 1 FROM pangaea_stream ORDER BY id FOR UPDATE;
    WITH numbered AS (
        SELECT outbox.id, stream.id AS stream, given.partition,
               stream.head + row_number() OVER (PARTITION BY stream.id ORDER BY outbox.id) AS position
        FROM unnest(ids, partitions) AS given (id, partition)
        JOIN pangaea_outbox AS outbox ON outbox.id = given.id AND outbox.position IS NULL
        JOIN pangaea_stream AS stream ON stream.audience = outbox.audience AND stream.partition = given.partition
    ), sequenced AS (
        UPDATE pangaea_outbox SET partition = numbered.partition, position = numbered.position
        FROM numbered WHERE pangaea_outbox.id = numbered.id
    )
    UPDATE pangaea_stream SET head = grown.head
    FROM (SELECT stream, max(position) AS head FROM numbered GROUP BY stream) AS grown
    WHERE pangaea_stream.id = grown.stream;
END $$;
"""
DROP = "DROP FUNCTION pangaea_sequence(bigint[], smallint[]);"


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


class RenameConstraint(migrations.AddConstraint):
    """Rename a constraint. PostgreSQL changes the name alone; SQLite, which cannot, rebuilds the table."""

    def __init__(self, model_name: str, constraint: BaseConstraint, former: BaseConstraint) -> None:
        super().__init__(model_name, constraint)
        self.former = former

    def deconstruct(self) -> tuple[str, Sequence[Any], dict[str, Any]]:
        name, arguments, options = super().deconstruct()
        return name, arguments, options | {"former": self.former}

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        state.remove_constraint(app_label, self.model_name_lower, self.former.name)
        super().state_forwards(app_label, state)

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        self._rename(app_label, schema_editor, (from_state, self.former), (to_state, self.constraint))

    def database_backwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        self._rename(app_label, schema_editor, (from_state, self.constraint), (to_state, self.former))

    def _rename(
        self,
        app_label: str,
        editor: BaseDatabaseSchemaEditor,
        before: tuple[ProjectState, BaseConstraint],
        after: tuple[ProjectState, BaseConstraint],
    ) -> None:
        model = after[0].apps.get_model(app_label, self.model_name)
        if not self.allow_migrate_model(editor.connection.alias, model):
            return
        if editor.connection.vendor == "postgresql":
            table, old, new = (
                editor.quote_name(name) for name in (model._meta.db_table, before[1].name, after[1].name)
            )
            editor.execute("SET LOCAL lock_timeout = '5s'")
            editor.execute(f"ALTER TABLE {table} RENAME CONSTRAINT {old} TO {new}")
        else:
            editor.remove_constraint(before[0].apps.get_model(app_label, self.model_name), before[1])
            editor.add_constraint(model, after[1])


def position_once(name: str) -> BaseConstraint:
    """No two rows of a partition have the same position."""
    return models.UniqueConstraint(fields=("audience", "partition", "position"), name=name)


def sequenced_whole(name: str) -> BaseConstraint:
    """A row has a partition and a position, or neither."""
    neither = Q(("partition__isnull", True), ("position__isnull", True))
    return models.CheckConstraint(
        condition=Q(neither, Q(("partition__isnull", False), ("position__gte", 1)), _connector="OR"), name=name
    )


class Migration(migrations.Migration):
    dependencies = [("pangaea", "0014_locked_keys")]
    operations = [
        migrations.RunPython(create, drop),
        migrations.RenameIndex(
            "outboxmessage", new_name="pangaea_outbox_unsequenced", old_name="pangaea_outbox_unplaced"
        ),
        RenameConstraint(
            "outboxmessage", position_once("pangaea_outbox_position_once"), position_once("pangaea_outbox_place")
        ),
        RenameConstraint(
            "outboxmessage",
            sequenced_whole("pangaea_outbox_sequenced_whole"),
            sequenced_whole("pangaea_outbox_placed_whole"),
        ),
    ]
