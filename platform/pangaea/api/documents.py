"""The OpenAPI documents and the pages that show them: public, or for operators only."""

from collections.abc import Callable
from functools import wraps

from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import URLPattern, path, reverse

from pangaea import modules
from pangaea.api import content_security
from pangaea.api.openapi import document
from pangaea.api.read_only import read_only

View = Callable[..., HttpResponse]


def patterns(*, public: bool, admin_path: str) -> list[URLPattern]:
    """The URL patterns of the documents.

    With `public`, they are at /api/docs/ and /api/schema/. Otherwise they are below `admin_path` and require an
    operator's log-in, and the public paths answer 404.
    """
    below, view = ("", _unchanged) if public else (admin_path, admin.site.admin_view)
    return [
        path(f"{below}api/docs/", view(page), name="docs"),
        path(f"{below}api/docs/<slug:module>/", view(page), name="module-docs"),
        path(f"{below}api/schema/", view(document.schema), name="schema"),
        path(f"{below}api/schema/<slug:module>/", view(document.schema), name="module-schema"),
    ]


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


@read_only
@_with_the_strict_policy
def page(request: HttpRequest, module: str | None = None) -> HttpResponse:
    """Swagger UI for one module or for all modules of this process. A module's page is the same wherever it runs."""
    if module is None:
        return render(request, "pangaea/documents.html", {"title": "Pangaea", "schema": reverse("schema")})
    if module not in modules.labels():
        raise Http404
    address = reverse("module-schema", args=[module])
    return render(request, "pangaea/documents.html", {"title": f"Pangaea: {module}", "schema": address})
