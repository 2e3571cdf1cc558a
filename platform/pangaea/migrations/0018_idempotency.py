"""The requests that succeeded under an Idempotency-Key, with their answers."""

from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [("pangaea", "0017_state_words")]

    operations = [
        migrations.CreateModel(
            "IdempotencyRecord",
            [
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("subject", models.UUIDField()),
                ("operation", models.CharField(max_length=255)),
                ("key", models.CharField(max_length=255)),
                ("fingerprint", models.CharField(max_length=64)),
                ("resource", models.TextField()),
                ("status", models.SmallIntegerField(null=True)),
                ("headers", models.JSONField(null=True)),
                ("body", models.BinaryField(null=True)),
                ("replays", models.IntegerField(default=0)),
                ("created_at", models.DateTimeField()),
            ],
            {
                "db_table": "pangaea_idempotency",
                "constraints": [
                    models.UniqueConstraint(fields=["subject", "operation", "key"], name="pangaea_idempotency_once")
                ],
                "indexes": [
                    models.Index(fields=["id"], condition=Q(status__isnull=False), name="pangaea_idempotency_answers")
                ],
            },
        ),
    ]
