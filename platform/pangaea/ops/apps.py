"""Registers operations with Django."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class OpsConfig(AppConfig):
    """Staff accounts and the admin site, in the database alias `default`."""

    name = "pangaea.ops"
    label = "ops"
    verbose_name = "Operations"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Keep the operators' permissions complete with every migration."""
        from pangaea.ops import permissions

        post_migrate.connect(permissions.complete, sender=self, dispatch_uid="pangaea.ops.permissions")
