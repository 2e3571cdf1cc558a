"""The pages of the API's calls: the numbers of each version in all modules, and the list of one module, day by day."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.contrib import admin
from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.db import DatabaseError
from django.db.models import QuerySet, Sum
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.http import urlencode

from pangaea import modules
from pangaea.api import call_counts
from pangaea.api.call_counts import ApiCalls
from pangaea.databases.errors import reason_of
from pangaea.ops.admin import Figure, ReadOnlyAdmin

NAME = "pangaea_apicalls"
SHOWN = timedelta(days=30)
"""The time whose sums the first page shows."""


class ModuleCalls(ReadOnlyAdmin):
    """The calls of one module's API: a row per day, route and caller. The title has the sum of what is filtered."""

    list_display = ("day", "version", "route", "subject", "calls")
    list_display_links = None
    list_filter = ("version", "route", "day")
    search_fields = ("=subject",)
    search_help_text = "The id of an account, or anonymous"
    ordering = ("-day", "-calls", "id")
    list_per_page = 100

    def __init__(self, site: AdminSite, module: str) -> None:
        super().__init__(ApiCalls, site)
        self.module = module

    def get_queryset(self, request: HttpRequest) -> "QuerySet[ApiCalls]":
        return ApiCalls.objects.using(self.module).order_by(*self.ordering)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        page = super().changelist_view(request, extra_context)
        if isinstance(page, TemplateResponse) and page.context_data and (shown := page.context_data.get("cl")):
            total = shown.queryset.order_by().aggregate(total=Sum("calls"))["total"] or 0
            page.context_data["title"] = f"API calls of {self.module}: {total:,}"
        return page


@admin.register(ApiCalls)
class ApiCallsAdmin(ReadOnlyAdmin):
    """The first page: every module, and how often each version was called lately."""

    icon = "call_received"

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("", view(self.changelist_view), name=f"{NAME}_changelist"),
            path("<str:module>/", view(self.module_view), name=f"{NAME}_module"),
        ]

    def overview(self, request: HttpRequest) -> Iterator[Figure]:
        """The calls of deprecated versions."""
        del request
        since, counts = _since(), Counter[str]()
        for module in modules.installed():
            routes = [route.path for route in module.routes if route.deprecation]
            rows = ApiCalls.objects.using(module.label).filter(route__in=routes, day__gte=since)
            counts[module.label] = rows.aggregate(total=Sum("calls"))["total"] or 0 if routes else 0
        title = f"Calls of deprecated versions, {SHOWN.days} days"
        yield Figure(title, counts.total(), url=reverse(f"admin:{NAME}_changelist"))

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        self._check(request)
        context = {
            **self.admin_site.each_context(request),
            **(extra_context or {}),
            "title": "API calls",
            "days": SHOWN.days,
            "modules": [_overview(module.label, str(module.verbose_name)) for module in modules.installed()],
        }
        return TemplateResponse(request, "ops/api_calls.html", context)

    def module_view(self, request: HttpRequest, module: str) -> HttpResponse:
        """The list of one module."""
        self._check(request)
        if module not in modules.labels():
            raise Http404
        return ModuleCalls(self.admin_site, module).changelist_view(request)

    def _check(self, request: HttpRequest) -> None:
        if not self.has_view_permission(request):
            raise PermissionDenied


def _overview(label: str, title: str) -> dict[str, Any]:
    url = reverse(f"admin:{NAME}_module", args=[label])
    overview: dict[str, Any] = {"title": title, "url": url}
    since = _since()
    try:
        counts = call_counts.calls_by_version(label, since=since)
    except DatabaseError as error:
        return overview | {"unreadable": reason_of(error)}
    links = [
        (version, number, f"{url}?{urlencode({'version__exact': version, 'day__gte': since.isoformat()})}")
        for version, number in counts.items()
    ]
    return overview | {"versions": links}


def _since() -> date:
    return datetime.now(UTC).date() - SHOWN
