"""A row that no subscriber could read fails in its writer's transaction."""

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import ProjectState
from django.db.models import CheckConstraint, Q
from django.db.models.lookups import LessThanOrEqual

from pangaea.outbox.limits import OctetLength


class AddUnvalidated(migrations.AddConstraint):
    """Add a constraint. On PostgreSQL existing rows are not validated: every writer would wait for that."""

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        if schema_editor.connection.vendor != "postgresql":
            super().database_forwards(app_label, schema_editor, from_state, to_state)
            return
        model = to_state.apps.get_model(app_label, self.model_name)
        if self.allow_migrate_model(schema_editor.connection.alias, model):
            schema_editor.execute("SET LOCAL lock_timeout = '5s'")
            schema_editor.execute(f"{self.constraint.create_sql(model, schema_editor)} NOT VALID", params=None)


class Migration(migrations.Migration):
    dependencies = [("pangaea", "0011_resumption")]
    operations = [
        AddUnvalidated(
            "outboxmessage",
            CheckConstraint(
                condition=Q(("position__isnull", False), Q(("key", ""), _negated=True), _connector="OR"),
                name="pangaea_outbox_key_is_not_empty",
            ),
        ),
        AddUnvalidated(
            "outboxmessage",
            CheckConstraint(
                condition=Q(
                    ("position__isnull", False), LessThanOrEqual(OctetLength("body"), 1048576), _connector="OR"
                ),
                name="pangaea_outbox_body_takes_a_mebibyte_at_most",
            ),
        ),
    ]
