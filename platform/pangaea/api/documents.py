"""The documents of the APIs and the pages that show them: for all, or for operators alone."""

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
    """Where the documents are: at /api/docs/ and /api/schema/, with / leading there, or below the admin's path.

    Below the admin they ask for an operator's log-in, and nothing answers at the public paths.
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
    """Below the admin's path, too, Swagger UI may do no more than elsewhere."""

    @wraps(view)
    def guarded(*arguments: object, **named: object) -> HttpResponse:
        response = view(*arguments, **named)
        response.headers[content_security.HEADER] = content_security.POLICY
        return response

    return guarded


@require_safe
@_with_the_strict_policy
def page(request: HttpRequest, module: str | None = None) -> HttpResponse:
    """Swagger UI for one module, which reads the same wherever the module runs, or for all of this process."""
    if module is None:
        return render(request, "pangaea/documents.html", {"title": "Pangaea", "schema": reverse("schema")})
    if module not in modules.labels():
        raise Http404
    address = reverse("module-schema", args=[module])
    return render(request, "pangaea/documents.html", {"title": f"Pangaea: {module}", "schema": address})
