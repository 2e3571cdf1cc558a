"""Add the table of the calls of the API. Web processes of the version before neither read nor write it."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("pangaea", "0018_idempotency")]

    operations = [
        migrations.CreateModel(
            name="ApiCalls",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("day", models.DateField()),
                ("version", models.CharField(max_length=16)),
                ("route", models.CharField(max_length=255)),
                ("subject", models.CharField(max_length=64, verbose_name="caller")),
                ("calls", models.BigIntegerField()),
            ],
            options={
                "verbose_name_plural": "API calls",
                "db_table": "pangaea_api_calls",
                "indexes": [models.Index(fields=["day"], name="pangaea_api_calls_day")],
                "constraints": [
                    models.UniqueConstraint(fields=("subject", "route", "day"), name="pangaea_api_calls_once")
                ],
            },
        ),
    ]
