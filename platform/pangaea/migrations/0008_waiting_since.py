"""A cursor records since when messages wait for it, so that a stuck subscription can be named."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("pangaea", "0007_numbered_requests")]
    operations = [migrations.AddField("cursor", "waiting_since", models.DateTimeField(null=True))]
