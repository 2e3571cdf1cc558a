"""Django's `loaddata`, which fails for a row whose table is in another database instead of leaving it out."""

from typing import Any

from django.core.management.commands import loaddata

from pangaea.management.placement import refuse_elsewhere


class Command(loaddata.Command):
    """Django's command with that check. `--exclude` leaves an app's rows out."""

    def save_obj(self, obj: Any) -> bool:
        """Save a row. Raises CommandError, which undoes all, if its table is elsewhere and it is not excluded."""
        saved = bool(super().save_obj(obj))
        config, model = obj.object._meta.app_config, type(obj.object)
        if not saved and config not in self.excluded_apps and model not in self.excluded_models:
            refuse_elsewhere(self.using, [model._meta.app_label])
        return saved
