"""Drop the trigger that notifies the relay: NOTIFY in the publishing transaction serialises the server's commits."""

from importlib import import_module

from django.db import migrations

_former = import_module("pangaea.migrations.0002_notify_relay")


class Migration(migrations.Migration):
    """Code of the version before relies on the trigger; without it, its messages wait for the relay's next poll."""

    dependencies = [("pangaea", "0008_waiting_since")]
    operations = [migrations.RunPython(_former.drop, _former.create)]
