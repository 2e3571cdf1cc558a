"""OpenAPI 3.0.3: one document of all modules, and one per module, which is the same wherever the module runs."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.urls import include, path
from drf_spectacular import openapi
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.generators import SchemaGenerator

from pangaea import modules
from pangaea.api.read_only import read_only
from pangaea.identity.permissions import ScopePermission

PROBLEM: Mapping[str, Any] = {
    "type": "object",
    "description": "RFC 9457. Members beside these depend on the `code`.",
    "required": ["type", "title", "status", "detail", "code"],
    "properties": {
        "type": {
            "type": "string",
            "format": "uri-reference",
            "description": "The code as an address: a page that explains it.",
        },
        "title": {"type": "string", "description": "The code in words."},
        "status": {"type": "integer", "description": "The HTTP status."},
        "detail": {"type": "string", "description": "What happened, for people."},
        "instance": {
            "type": "string",
            "format": "uri-reference",
            "description": "The path of the request; absent where it could not be read.",
        },
        "code": {"type": "string", "description": "Stable: branch on this.", "example": "out_of_stock"},
        "correlation_id": {
            "type": "string",
            "description": "Finds the request in the logs; absent where the gateway could not read it.",
        },
        "errors": {
            "type": "array",
            "description": "With the code `validation_failed`: every mistake.",
            "items": {
                "type": "object",
                "required": ["code", "detail"],
                "properties": {
                    "pointer": {"type": "string", "description": "RFC 6901.", "example": "#/lines/0/quantity"},
                    "parameter": {"type": "string", "description": "The query parameter.", "example": "limit"},
                    "code": {"type": "string"},
                    "detail": {"type": "string"},
                },
            },
        },
    },
    "additionalProperties": True,
}

RESPONSES: Mapping[str, str] = {
    "400": "The request is malformed or fails validation.",
    "401": "There is no access token, or it has expired or is not valid.",
    "403": "The token lacks a scope, or this caller may not do this.",
    "404": "There is no such thing, or it is not the caller's.",
    "409": "The present state does not allow it.",
    "415": "The body is not JSON.",
    "422": "Well-formed, but no state would allow it.",
    "default": "Any other error.",
}


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call] # spectacular's own lack types
    """How the documents describe BearerAuthentication."""

    target_class = "pangaea.identity.authentication.BearerAuthentication"
    name = "bearer"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}


class AutoSchema(openapi.AutoSchema):
    """Operations are tagged with their module and name the scopes they need; components are named after their module.

    So two modules may each have an `OrderSerializer`: OrdersOrder and WebBffOrder.
    """

    def get_tags(self) -> list[str]:
        owner = modules.owner_of(type(self.view))
        return [owner.label] if owner else list(super().get_tags())

    def get_description(self) -> str:  # type: ignore[override] # as spectacular itself does
        needed = [
            scope
            for permission in self.view.get_permissions()
            if isinstance(permission, ScopePermission)
            for scope in permission.required(self.method)
        ]
        text = super().get_description() or ""
        return f"{text}\n\nNeeds the scope `{' '.join(needed)}`.".strip() if needed else text

    def get_serializer_name(self, serializer: Any, direction: Any) -> str:
        owner = modules.owner_of(type(serializer))
        return (owner.label.title().replace("_", "") if owner else "") + super().get_serializer_name(
            serializer, direction
        )


def add_problem_responses(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """A postprocessing hook: add each operation's possible problems, except for statuses that it describes itself."""
    components = result.setdefault("components", {})
    components.setdefault("schemas", {})["Problem"] = dict(PROBLEM)
    components["responses"] = {
        _component(status): {
            "description": description,
            "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status, description in RESPONSES.items()
    }
    for item in result["paths"].values():
        for method, operation in item.items():
            for status in _statuses(method, operation):
                reference = {"$ref": f"#/components/responses/{_component(status)}"}
                operation["responses"].setdefault(status, reference)
    return result


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


def _component(status: str) -> str:
    return "Problem" if status == "default" else f"Problem{status}"


def _statuses(method: str, operation: Mapping[str, Any]) -> list[str]:
    places = {parameter["in"] for parameter in operation.get("parameters", ())}
    has_body = "requestBody" in operation
    ways_in = operation.get("security", [])
    fits = {
        "400": has_body or "query" in places,
        "401": any(ways_in),
        "403": any(ways_in) and {} not in ways_in,
        "404": "path" in places,
        "409": method != "get",
        "415": has_body,
        "422": has_body,
        "default": True,
    }
    return [status for status, fit in fits.items() if fit]


def patterns_of(module: modules.ModuleConfig) -> list[Any]:
    """The URL patterns of everything that the module serves."""
    return [path(route.path.removeprefix("/"), include(route.urlconf)) for route in module.routes]


def build(module: modules.ModuleConfig | None = None) -> tuple[dict[str, Any], list[str]]:
    """The document of one module, or of all that are installed; and the generator's warnings, which a test keeps empty.

    Not thread-safe: the generator stores its warnings in the process.
    """
    chosen: Sequence[modules.ModuleConfig] = [module] if module else modules.installed()
    patterns = [pattern for each in chosen for pattern in patterns_of(each)]
    with GENERATOR_STATS.silence():
        generator: Any = SchemaGenerator
        document = generator(patterns=patterns).get_schema(public=True)
        doubts = [*GENERATOR_STATS._warn_cache, *GENERATOR_STATS._error_cache]  # noqa: SLF001 - it publishes them nowhere
    doubts += _misnamed(document)
    _describe_scopes(document, [scope for each in chosen for scope in each.scopes])
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


def _describe_scopes(document: dict[str, Any], scopes: Sequence[modules.Scope]) -> None:
    """Describe the scopes in the security scheme, as text and as `x-scopes`: `http` schemes have no member for them."""
    scheme = document["components"].get("securitySchemes", {}).get("bearer")
    if scheme is not None and scopes:
        lines = [f"- `{scope.name}` ({', '.join(scope.roles)}): {scope.description}" for scope in scopes]
        scheme["description"] = "\n".join(["An access token, whose roles have these scopes:", "", *lines])
        scheme["x-scopes"] = {scope.name: scope.description for scope in scopes}


@functools.cache
def _document(label: str | None) -> dict[str, Any]:
    return build(modules.named(label) if label else None)[0]


@read_only
def schema(_request: HttpRequest, module: str | None = None) -> HttpResponse:
    """The document as JSON."""
    if module is not None and module not in modules.labels():
        raise Http404
    return JsonResponse(_document(module), content_type="application/vnd.oai.openapi+json")
