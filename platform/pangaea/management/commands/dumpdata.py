"""Django's `dumpdata`, which fails for an app whose tables are in another database instead of writing `[]`."""

from typing import Any

from django.core.management.commands import dumpdata

from pangaea.management.placement import refuse_elsewhere


class Command(dumpdata.Command):
    """Django's command with that check."""

    def handle(self, *app_labels: str, **options: Any) -> None:
        """Write the fixtures."""
        refuse_elsewhere(options["database"], (label.partition(".")[0] for label in app_labels))
        super().handle(*app_labels, **options)
