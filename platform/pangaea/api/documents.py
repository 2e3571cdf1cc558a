"""The OpenAPI documents and the pages that show them: public, or for operators only."""

from collections.abc import Callable
from functools import wraps

from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import URLPattern, path, reverse
from django.views.decorators.http import require_safe
from django.views.generic import RedirectView

from pangaea import modules
from pangaea.api import content_security, schema

View = Callable[..., HttpResponse]


def patterns(*, public: bool, admin_path: str) -> list[URLPattern]:
    """The URL patterns of the documents: at /api/docs/ and /api/schema/, with a redirect from /, or below `admin_path`.

    Below `admin_path` they require an operator's log-in, and the public paths are not found.
    """
    below, view = ("", _unchanged) if public else (admin_path, admin.site.admin_view)
    documents = [
        path(f"{below}api/docs/", view(page), name="docs"),
        path(f"{below}api/docs/<slug:module>/", view(page), name="module-docs"),
        path(f"{below}api/schema/", view(schema.schema), name="schema"),
        path(f"{below}api/schema/<slug:module>/", view(schema.schema), name="module-schema"),
    ]
    return [path("", RedirectView.as_view(pattern_name="docs")), *documents] if public else documents


def _unchanged(view: View) -> View:
    return view


def _with_the_strict_policy(view: View) -> View:
    """Set POLICY explicitly: below the admin's path the middleware would set the weaker ADMIN_POLICY."""

    @wraps(view)
    def guarded(*arguments: object, **named: object) -> HttpResponse:
        response = view(*arguments, **named)
        response.headers[content_security.HEADER] = content_security.POLICY
        return response

    return guarded


@require_safe
@_with_the_strict_policy
def page(request: HttpRequest, module: str | None = None) -> HttpResponse:
    """Swagger UI for one module, the same wherever the module runs, or for all modules of this process."""
    if module is None:
        return render(request, "pangaea/documents.html", {"title": "Pangaea", "schema": reverse("schema")})
    if module not in modules.labels():
        raise Http404
    address = reverse("module-schema", args=[module])
    return render(request, "pangaea/documents.html", {"title": f"Pangaea: {module}", "schema": address})
