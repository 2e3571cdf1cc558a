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
        """Replace the admin site before models are registered with it. Complete permissions after each migration."""
        from django.contrib import admin
        from django.contrib.admin import sites

        from pangaea.ops import permissions
        from pangaea.ops.log_in import OperatorsSite

        admin.site = sites.site = OperatorsSite()

        post_migrate.connect(permissions.complete, sender=self, dispatch_uid="pangaea.ops.permissions")
