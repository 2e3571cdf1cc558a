"""The crash count of a dead letter is named for what it counts."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("pangaea", "0015_sequence")]

    operations = [
        migrations.RenameField(model_name="deadletter", old_name="deaths", new_name="crashes"),
        migrations.AlterField(
            model_name="deadletter",
            name="state",
            field=models.CharField(
                choices=[
                    ("behind", "behind another of its key"),
                    ("retrying", "retried automatically"),
                    ("dead", "no longer retried: redrive or discard it"),
                ],
                default="behind",
                max_length=16,
            ),
        ),
    ]
