"""Dead letters are retried automatically, or discarded; attempts are recorded before handlers run."""

from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps
from django.utils import timezone


def make_unlogged(apps: StateApps, editor: BaseDatabaseSchemaEditor) -> None:
    """Commits to it then wait for no disk. A crash of the server empties it: crash counts are lost at worst."""
    del apps
    if editor.connection.vendor == "postgresql":
        editor.execute("ALTER TABLE pangaea_attempt SET UNLOGGED")


def let_retry(apps: StateApps, editor: BaseDatabaseSchemaEditor) -> None:
    """Make the letters due that failed before there were retries."""
    letters = apps.get_model("pangaea", "DeadLetter")._default_manager.using(editor.connection.alias)
    letters.filter(attempts__gt=0).update(state="retrying", next_attempt_at=timezone.now())


class Migration(migrations.Migration):
    dependencies = [
        ("pangaea", "0004_subscriber"),
    ]

    operations = [
        migrations.CreateModel(
            name="Attempt",
            fields=[
                ("subscription", models.CharField(max_length=127)),
                ("source", models.CharField(max_length=63)),
                ("audience", models.CharField(max_length=63)),
                ("partition", models.SmallIntegerField()),
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "subscription",
                        "source",
                        "audience",
                        "partition",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("position", models.BigIntegerField()),
                ("number", models.IntegerField()),
                ("alone", models.BooleanField()),
                ("token", models.CharField(max_length=32)),
            ],
            options={
                "db_table": "pangaea_attempt",
            },
        ),
        migrations.RunPython(make_unlogged, migrations.RunPython.noop),
        migrations.CreateModel(
            name="DiscardedLetter",
            fields=[
                ("subscription", models.CharField(max_length=127)),
                ("source", models.CharField(max_length=63)),
                ("audience", models.CharField(max_length=63)),
                ("partition", models.SmallIntegerField()),
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("position", models.BigIntegerField()),
                ("key", models.CharField(max_length=255)),
                ("name", models.CharField(max_length=127)),
                ("body", models.TextField()),
                ("error", models.TextField(blank=True)),
                ("attempts", models.IntegerField()),
                ("parked_at", models.DateTimeField()),
                ("discarded_at", models.DateTimeField(auto_now_add=True)),
                ("discarded_by", models.CharField(max_length=150)),
                ("reason", models.TextField()),
            ],
            options={
                "db_table": "pangaea_discarded_letter",
            },
        ),
        migrations.AddField(
            model_name="deadletter",
            name="deaths",
            field=models.IntegerField(default=0),
        ),
        migrations.AddField(
            model_name="deadletter",
            name="next_attempt_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="deadletter",
            name="state",
            field=models.CharField(
                choices=[
                    ("behind", "behind another of its key"),
                    ("retrying", "retried automatically"),
                    ("dead", "tried no more: redrive or discard it"),
                ],
                default="behind",
                max_length=16,
            ),
        ),
        migrations.RunPython(let_retry, migrations.RunPython.noop),
        migrations.AddIndex(
            model_name="deadletter",
            index=models.Index(
                condition=models.Q(("state", "retrying")), fields=["next_attempt_at"], name="pangaea_dead_letter_due"
            ),
        ),
        migrations.AddConstraint(
            model_name="deadletter",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("next_attempt_at__isnull", False), ("state", "retrying")),
                    models.Q(models.Q(("state", "retrying"), _negated=True), ("next_attempt_at__isnull", True)),
                    _connector="OR",
                ),
                name="pangaea_dead_letter_timed",
            ),
        ),
        migrations.AddConstraint(
            model_name="discardedletter",
            constraint=models.CheckConstraint(
                condition=models.Q(("reason", ""), _negated=True), name="pangaea_discarded_with_reason"
            ),
        ),
    ]
