"""A parked message has the id that the outbox has for it. Empty for those that were parked before."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("pangaea", "0009_wake_after_commit")]
    operations = [migrations.AddField("deadletter", "message_id", models.UUIDField(null=True))]
