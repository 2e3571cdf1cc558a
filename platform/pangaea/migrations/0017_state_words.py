"""A state's label is its word alone; what it means is in `pangaea.health.states`. Changes no table."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("pangaea", "0016_crashes")]

    operations = [
        migrations.AlterField(
            model_name="cursor",
            name="state",
            field=models.CharField(
                choices=[("active", "active"), ("diverged", "diverged"), ("below_floor", "below the floor")],
                default="active",
                max_length=16,
            ),
        ),
        migrations.AlterField(
            model_name="deadletter",
            name="state",
            field=models.CharField(
                choices=[("behind", "behind"), ("retrying", "retrying"), ("dead", "dead")],
                default="behind",
                max_length=16,
            ),
        ),
    ]
