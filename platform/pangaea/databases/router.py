"""Django's database router: every model belongs to the alias of its app."""

from collections.abc import Mapping
from typing import Any

from django.apps import apps
from django.db import DEFAULT_DB_ALIAS
from django.db.models import Model

from pangaea import modules
from pangaea.databases.aliases import KERNEL, apps_of
from pangaea.errors import Misuse


class Router:
    """Routes every model to the alias of its app, and refuses to guess.

    Each module has the kernel's tables, so their queries must name the module: `Stream.objects.using("orders")`.
    """

    def db_for_read(self, model: type[Model], **hints: Any) -> str:
        """The alias of the model's app. Raises Misuse if there is none."""
        return self._route(model, hints)

    def db_for_write(self, model: type[Model], **hints: Any) -> str:
        """The alias of the model's app. Raises Misuse if there is none."""
        return self._route(model, hints)

    def allow_relation(self, first: Model, second: Model, **_hints: Any) -> bool:
        """Whether both instances are in the same database."""
        return first._state.db == second._state.db

    def allow_migrate(self, db: str, app_label: str, **_hints: Any) -> bool:
        """Whether the alias is that of the app: tables are created only there."""
        return app_label in apps_of(db)

    def _route(self, model: type[Model], hints: Mapping[str, Any]) -> str:
        label = model._meta.app_label
        if label == KERNEL:
            instance = hints.get("instance")
            if instance is not None and instance._state.db:
                return str(instance._state.db)
            message = f"{model.__name__} exists in every module's schema: name one with .using(<module>)."
            raise Misuse(message)
        if label in modules.labels():
            return label
        if label in apps.app_configs:
            return DEFAULT_DB_ALIAS
        message = (
            f"{model.__name__} belongs to the app {label!r}, which is not installed in this process. "
            "Add it to INSTALLED_APPS, or its module to PANGAEA_MODULES."
        )
        raise Misuse(message)
