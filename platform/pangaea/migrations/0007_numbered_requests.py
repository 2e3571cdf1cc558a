"""Requests to catch up have numbers, which their answers carry. NULL for requests of the version before."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("pangaea", "0006_fewer_round_trips")]
    operations = [
        migrations.AddField("cursor", "question", models.BigIntegerField(null=True)),
        migrations.AddField("catchuprequest", "question", models.BigIntegerField(null=True)),
    ]
