"""Django's `sqlsequencereset`, which fails for an app whose tables are in another database.

After a restore, `migrate` advances the sequences of every alias: see `pangaea.databases.sequences`.
"""

from typing import Any

from django.apps import AppConfig
from django.core.management.commands import sqlsequencereset

from pangaea.management.placement import refuse_elsewhere


class Command(sqlsequencereset.Command):
    """Django's command with that check."""

    def handle_app_config(self, app_config: AppConfig, **options: Any) -> str | None:
        """Return the SQL."""
        refuse_elsewhere(options["database"], [app_config.label])
        statements: str | None = super().handle_app_config(app_config, **options)
        return statements
