"""Operators' permissions on the models of every module.

They live in `default`, beside the operators, while the models they speak of are migrated in other aliases. Django makes
permissions for what a migration of the same alias knows; here they are made for everything that is installed.
"""

from typing import Any

from django.apps import apps as installed
from django.apps.registry import Apps
from django.contrib.auth.management import create_permissions
from django.contrib.contenttypes.management import create_contenttypes
from django.db import DEFAULT_DB_ALIAS


def complete(*, using: str, verbosity: int = 1, apps: Apps = installed, **_options: Any) -> None:
    """Receive `post_migrate` and add what is missing. Does nothing while the tables for it are not there."""
    tables_exist = {"auth", "contenttypes"} <= {model._meta.app_label for model in apps.get_models()}
    if using != DEFAULT_DB_ALIAS or not tables_exist:
        return
    for config in installed.get_app_configs():
        create_contenttypes(config, verbosity=verbosity, using=using)
        create_permissions(config, verbosity=verbosity, using=using)
