"""Operators' decisions on stopped subscriptions; a state's label names no remedy, which depends on the kind."""

from django.db import migrations, models
from django.db.models import Q

STATES = [
    ("active", "active"),
    ("diverged", "diverged: the producer's history is another"),
    ("below_floor", "below the floor: the producer has deleted what comes next"),
]


class Migration(migrations.Migration):
    dependencies = [("pangaea", "0010_ids_of_dead_letters")]
    operations = [
        migrations.AlterField("cursor", "state", models.CharField(max_length=16, choices=STATES, default="active")),
        migrations.CreateModel(
            "Resumption",
            [
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("subscription", models.CharField(max_length=127)),
                ("source", models.CharField(max_length=63)),
                ("audience", models.CharField(max_length=63)),
                ("partition", models.SmallIntegerField()),
                ("how", models.CharField(max_length=8)),
                ("state", models.CharField(max_length=16)),
                ("from_position", models.BigIntegerField()),
                ("to_position", models.BigIntegerField(null=True)),
                ("skipped", models.BigIntegerField(default=0)),
                ("repeated", models.BigIntegerField(default=0)),
                ("discarded", models.IntegerField(default=0)),
                ("decided_at", models.DateTimeField(auto_now_add=True)),
                ("decided_by", models.CharField(max_length=150)),
                ("reason", models.TextField()),
            ],
            {
                "db_table": "pangaea_resumption",
                "constraints": [models.CheckConstraint(condition=~Q(reason=""), name="pangaea_resumption_with_reason")],
            },
        ),
    ]
