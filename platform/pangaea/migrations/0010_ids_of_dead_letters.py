"""A parked message has its id in the outbox; NULL for messages that were parked before this migration."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("pangaea", "0009_wake_after_commit")]
    operations = [migrations.AddField("deadletter", "message_id", models.UUIDField(null=True))]
