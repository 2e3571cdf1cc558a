"""The sidebar of the admin: one group per installed module, then operations. No list of modules is kept by hand."""

from typing import Any

from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse

from pangaea import modules
from pangaea.ops import figures

OPERATIONS = ("pangaea", "ops", "auth")
"""The apps that belong to the whole installation, in the order in which the sidebar shows them."""

ICON = "table_rows"


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    """The models that the operator may see, in unfold's format. Groups without a visible model are left out."""
    apps = {app["app_label"]: app["models"] for app in admin.site.get_app_list(request)}
    groups = [_group(str(module.verbose_name), apps.get(module.label, [])) for module in modules.installed()]
    groups.append(_group("Operations", [model for label in OPERATIONS for model in apps.get(label, [])]))
    first = [
        {"title": "Overview", "icon": "dashboard", "link": reverse("admin:index")},
        {"title": "API documents", "icon": "api", "link": _documents()},
    ]
    return [{"items": first}, *(group for group in groups if group["items"])]


def overview(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """The first page's context: figures, then lists in the order of the sidebar: the modules, operations, the rest."""
    order = [*modules.labels(), *OPERATIONS]
    rank = {label: index for index, label in enumerate(order)}
    apps = sorted(context["app_list"], key=lambda app: rank.get(app["app_label"], len(order)))
    return context | {"app_list": apps, "title": "Overview", "groups": list(figures.of_installed(request, OPERATIONS))}


def environment(_request: HttpRequest) -> list[str]:
    """The profile, in the header: an operator sees at once whether this is a laptop."""
    profile = str(settings.SETTINGS_MODULE).rpartition(".")[2]
    return [profile, "info" if settings.DEBUG else "warning"]


def _documents() -> str:
    """The address of this process's documents; a gateway routes to a service only by the paths of its modules."""
    if settings.PANGAEA_ADMIN == "admin/":
        return reverse("docs")
    return reverse("module-docs", args=[min(modules.labels())])


def _group(title: str, models: list[dict[str, Any]]) -> dict[str, Any]:
    items = [
        {
            "title": str(model["name"]),
            "icon": getattr(admin.site.get_model_admin(model["model"]), "icon", ICON),
            "link": model["admin_url"],
        }
        for model in models
        if model["admin_url"]
    ]
    return {"title": title, "separator": True, "items": items}
