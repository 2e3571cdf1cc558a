"""Registers identity with Django."""

from django.apps import AppConfig


class IdentityConfig(AppConfig):
    """The count of password attempts, in the database alias `default`: every profile has it."""

    name = "pangaea.identity"
    label = "identity"
    default_auto_field = "django.db.models.BigAutoField"
