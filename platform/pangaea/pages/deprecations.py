"""The page about a deprecated route, to which its answers link: `/deprecations/api/v1/orders`."""

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path

from pangaea import modules
from pangaea.api import versioning
from pangaea.api.read_only import read_only
from pangaea.modules import Deprecation, Route
from pangaea.pages import layout


@read_only
def page(request: HttpRequest, route: str) -> HttpResponse:
    """Until when the route is answered, what replaces it, and what changes. 404 for one that is not deprecated."""
    for module in modules.installed():
        for each in module.routes:
            if each.path == f"/{route}" and each.deprecation is not None:
                document = _document(module.label, each, each.deprecation)
                content = {"page": document, "changes": [layout.prose(text) for text in each.deprecation.changes]}
                return layout.answer(request, "deprecation", content, document)
    raise Http404


def _document(module: str, route: Route, deprecation: Deprecation) -> dict[str, Any]:
    return {
        "path": route.path,
        "version": versioning.version_of(route.path),
        "module": module,
        "deprecated": deprecation.since.isoformat(),
        "sunset": deprecation.sunset.isoformat(),
        "successor": deprecation.successor,
        "changes": list(deprecation.changes),
    }


patterns: list[URLPattern] = [
    path(f"{versioning.PAGES.removeprefix('/')}/<path:route>", page, name="deprecation"),
]
