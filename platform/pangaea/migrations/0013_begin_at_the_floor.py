"""A cursor may begin at the producer's floor, and then asks for a snapshot; streams record their last snapshot."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("pangaea", "0012_outbox_limits")]
    operations = [
        migrations.AddField("cursor", "floor", models.BigIntegerField(default=0, db_default=0)),
        migrations.AddField("cursor", "floor_id", models.UUIDField(null=True)),
        migrations.AddField("cursor", "began_at", models.BigIntegerField(null=True)),
        migrations.AddField("stream", "snapshot_from", models.BigIntegerField(null=True)),
        migrations.AddField("stream", "snapshot_until", models.BigIntegerField(null=True)),
        migrations.AddField("stream", "snapshot_begun", models.BigIntegerField(null=True)),
        migrations.AddField("stream", "snapshot_wanted", models.BigIntegerField(null=True)),
    ]
