"""The URLs of this process: those of its modules, the documents of its API, the pages, the admin.

The probes are not here: `pangaea.health.probes.ProbeMiddleware` answers them before anything else.
"""

from typing import Any

from django.conf import settings
from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import path, reverse
from django.views.generic import RedirectView

from pangaea import modules
from pangaea.api import documents
from pangaea.api.openapi import document
from pangaea.pages import deprecations, problems, start

handler400 = "pangaea.api.fallback.bad_request"
handler403 = "pangaea.api.fallback.permission_denied"
handler404 = "pangaea.api.fallback.not_found"
handler500 = "pangaea.api.fallback.server_error"


def log_in(request: HttpRequest) -> HttpResponse:
    """The admin's log-in for operators who open a service directly. The form posts to the admin's own address."""
    return admin.site.login(request, {"app_path": reverse("admin:login")})


def on_site(_request: HttpRequest, **_path: str) -> HttpResponse:
    """Answer the admin's "view on site" links with 404: no model has such a page."""
    raise Http404


def _elsewhere() -> list[Any]:
    """The log-in and the redirects of an admin that is not at /admin/."""
    if settings.PANGAEA_ADMIN == "admin/":
        return []
    others = [f"admin/{label}/" for label in modules.labels() if f"admin/{label}/" != settings.PANGAEA_ADMIN]
    redirect = RedirectView.as_view(pattern_name="admin:index")
    return [path("admin/login/", log_in), *(path(other, redirect) for other in ["admin/", *others])]


urlpatterns = [
    *(pattern for module in modules.installed() for pattern in document.patterns_of(module)),
    *documents.patterns(public=settings.PANGAEA.api_documents_public, admin_path=settings.PANGAEA_ADMIN),
    *start.patterns,
    *problems.patterns,
    *deprecations.patterns,
    path(f"{settings.PANGAEA_ADMIN}r/<path:row>", on_site),
    path(settings.PANGAEA_ADMIN, admin.site.urls),
    *_elsewhere(),
]
