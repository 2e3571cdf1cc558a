"""OpenAPI 3.1: one document of all modules, and one per module, which is the same wherever the module runs."""

import functools
import inspect
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.urls import include, path
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.generators import SchemaGenerator

from pangaea import modules
from pangaea.api.openapi import examples, problems
from pangaea.api.openapi.sharing import share
from pangaea.api.read_only import read_only

_BUILDING = threading.Lock()


def leave_enums_in_place(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """A postprocessing hook: remove the ids that only spectacular's enum hook uses."""
    places: list[Any] = [result]
    for place in places:
        if isinstance(place, dict):
            place.pop("x-spec-enum-id", None)
            places.extend(place.values())
        elif isinstance(place, list):
            places.extend(place)
    return result


def patterns_of(module: modules.ModuleConfig) -> list[Any]:
    """The URL patterns of everything that the module serves."""
    return [path(route.path.removeprefix("/"), include(route.urlconf)) for route in module.routes]


def build(module: modules.ModuleConfig | None = None) -> tuple[dict[str, Any], list[str]]:
    """The document of one module, or of all that are installed; and the generator's warnings, which a test keeps empty.

    One thread at a time: the generator keeps its warnings, and what it has loaded of its extensions, in the process.
    """
    chosen: Sequence[modules.ModuleConfig] = [module] if module else modules.installed()
    patterns = [pattern for each in chosen for pattern in patterns_of(each)]
    with _BUILDING, GENERATOR_STATS.silence():
        generator: Any = SchemaGenerator
        document = generator(patterns=patterns).get_schema(public=True)
        doubts = [*GENERATOR_STATS._warn_cache, *GENERATOR_STATS._error_cache]  # noqa: SLF001 - it publishes them nowhere
    doubts += _misnamed(document)
    document.setdefault("components", {}).setdefault("schemas", {})["Problem"] = dict(problems.SCHEMA)
    examples.add(document)
    share(document)
    _describe_scopes(document, [scope for each in chosen for scope in each.scopes])
    document["tags"] = [{"name": each.label, "description": _purpose(each)} for each in chosen]
    if module:
        document["info"]["title"] += f": {module.label}"
    return document, doubts


def _misnamed(document: Mapping[str, Any]) -> list[str]:
    """Operations whose id does not begin with their module: another module's could get the same one."""
    return [
        f"{method.upper()} {path}: the operation id {operation['operationId']!r} does not begin with '{tag}_'. "
        "Name it in extend_schema: <module>_<verb>_<noun>."
        for path, item in document["paths"].items()
        for method, operation in item.items()
        for tag in operation.get("tags", ())
        if tag in modules.labels() and not operation["operationId"].startswith(f"{tag}_")
    ]


def _purpose(module: modules.ModuleConfig) -> str:
    """The first sentence of the docstring of the module's package."""
    text = inspect.getdoc(module.module) or str(module.verbose_name)
    return text.partition("\n")[0]


def _describe_scopes(document: dict[str, Any], scopes: Sequence[modules.Scope]) -> None:
    """Describe the scopes in the security scheme, as text and as `x-scopes`: `http` schemes have no member for them."""
    scheme = document["components"].get("securitySchemes", {}).get("bearer")
    if scheme is not None and scopes:
        lines = [f"- `{scope.name}` ({', '.join(scope.roles)}): {scope.description}" for scope in scopes]
        scheme["description"] = "\n".join(["An access token, whose roles have these scopes:", "", *lines])
        scheme["x-scopes"] = {scope.name: scope.description for scope in scopes}


@functools.cache
def served(label: str | None) -> dict[str, Any]:
    return build(modules.named(label) if label else None)[0]


@read_only
def schema(_request: HttpRequest, module: str | None = None) -> HttpResponse:
    """The document as JSON."""
    if module is not None and module not in modules.labels():
        raise Http404
    return JsonResponse(served(module), content_type="application/vnd.oai.openapi+json")
