"""Operators' permissions on the models of every module.

They are stored in `default`, beside the operators, while the modules' models are migrated in other aliases. Django
creates permissions for the models that are migrated in `default`; this file creates them for all installed models.
"""

from typing import Any

from django.apps import apps as installed
from django.apps.registry import Apps
from django.contrib.auth.management import create_permissions
from django.contrib.contenttypes.management import create_contenttypes
from django.db import DEFAULT_DB_ALIAS


def complete(*, using: str, verbosity: int = 1, apps: Apps = installed, **_options: Any) -> None:
    """Receive `post_migrate` and add the missing permissions. Does nothing while their tables do not exist."""
    tables_exist = {"auth", "contenttypes"} <= {model._meta.app_label for model in apps.get_models()}
    if using != DEFAULT_DB_ALIAS or not tables_exist:
        return
    for config in installed.get_app_configs():
        create_contenttypes(config, verbosity=verbosity, using=using)
        create_permissions(config, verbosity=verbosity, using=using)
