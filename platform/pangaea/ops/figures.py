"""The numbers on the first page: what modules and operations contribute to it."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.contrib import admin
from django.contrib.admin import ModelAdmin
from django.db import DatabaseError
from django.http import HttpRequest

from pangaea import modules
from pangaea.databases.errors import reason_of
from pangaea.health.states import UNREADABLE, Shown
from pangaea.messages import Money
from pangaea.ops.tables import label


@dataclass(frozen=True, slots=True)
class Figure:
    """A number with a title. `url` is the page that shows what is counted, `state` is shown as a label beside it.

    Amounts of several currencies are one figure.
    """

    title: str
    value: int | str | Sequence[Money]
    url: str = ""
    state: Shown | None = None

    @property
    def text(self) -> str:
        """The value as people write it."""
        if isinstance(self.value, int):
            return f"{self.value:,}"
        return self.value if isinstance(self.value, str) else " + ".join(map(str, self.value)) or "0"

    @property
    def badge(self) -> str:
        """The label of its state."""
        return label(self.state) if self.state else ""


@dataclass(frozen=True, slots=True)
class Group:
    """The figures of a module, or of operations. `unreadable` is the database's error."""

    title: str
    figures: Sequence[Figure]
    unreadable: str = ""

    @property
    def badge(self) -> str:
        """The label of a group that cannot be read."""
        return label(UNREADABLE) if self.unreadable else ""


def of_installed(request: HttpRequest, operations: Iterable[str]) -> Iterator[Group]:
    """The figures that the admin classes of operations, and then of each module, contribute."""
    titles = {module.label: str(module.verbose_name) for module in modules.installed()}
    yield _group(request, "Operations", list(operations))
    for app_label, title in titles.items():
        yield _group(request, title, [app_label])


def _group(request: HttpRequest, title: str, labels: Sequence[str]) -> Group:
    figures: list[Figure] = []
    unreadable = ""
    for each in _admins(labels):
        contribute = getattr(each, "overview", None)
        if contribute is None or not each.has_view_permission(request):
            continue
        try:
            figures += contribute(request)
        except DatabaseError as error:
            unreadable = reason_of(error)
    return Group(title, figures, unreadable)


def _admins(labels: Sequence[str]) -> list["ModelAdmin[Any]"]:
    models = [model for label in labels for model in apps.get_app_config(label).get_models()]
    models.sort(key=lambda model: str(model._meta.object_name))
    return [admin.site.get_model_admin(model) for model in models if admin.site.is_registered(model)]
