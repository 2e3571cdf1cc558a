"""What the modules' URL patterns expose, and the mistakes in it: who may call a view, and names that collide."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from django.core.checks import Error
from django.urls import URLPattern, URLResolver
from rest_framework.permissions import AllowAny

from pangaea.api.idempotency import declaration_of
from pangaea.identity.permissions import ScopePermission
from pangaea.modules import ModuleConfig, Route


@dataclass(frozen=True, slots=True)
class Exposed:
    """A view class below a route."""

    view: type
    route: Route

    @property
    def name(self) -> str:
        """Its dotted path."""
        return f"{self.view.__module__}.{self.view.__qualname__}"

    @property
    def permissions(self) -> list[type]:
        """Its permission classes. Composed ones (`A | B`) are left out."""
        return [each for each in getattr(self.view, "permission_classes", ()) if isinstance(each, type)]

    @property
    def scopes(self) -> set[str]:
        """The scopes that it requires."""
        required = [each for each in self.permissions if issubclass(each, ScopePermission)]
        return {scope for each in required for scope in (*each.scopes, *each.changing)}

    @property
    def is_open(self) -> bool:
        """Whether a caller without a token may call it."""
        return all(issubclass(each, AllowAny) for each in self.permissions)


def views_of(module: ModuleConfig) -> list[Exposed]:
    """The view classes below the module's routes."""
    return [
        Exposed(view, route)
        for route in module.routes
        for pattern in _patterns(import_module(route.urlconf).urlpatterns)
        if (view := getattr(pattern.callback, "view_class", None))
    ]


def mistakes(installed: Sequence[ModuleConfig]) -> Iterator[Error]:
    """Views that no scope protects, that only some topologies open, or whose effect a repeat doubles; name clashes."""
    owners: dict[str, str] = {}
    for module in installed:
        for exposed in views_of(module):
            yield from _mistakes_of(module, exposed)
        for name in sorted(_names(module)):
            if (owner := owners.setdefault(name, module.label)) != module.label:
                text = f"The modules {owner!r} and {module.label!r} both name a URL pattern {name!r}."
                hint = f"Begin it with the module, like {module.label.replace('_', '-')}-{name}."
                yield Error(text, hint=hint, obj=module, id="pangaea.E026")


def _mistakes_of(module: ModuleConfig, exposed: Exposed) -> Iterator[Error]:
    if not hasattr(exposed.view, "permission_classes"):
        return
    if not exposed.is_open:
        yield from _repeated_effects(module, exposed)
    if exposed.is_open:
        if not exposed.route.public:
            text = f"{exposed.name} is open to callers without a token, and its route {exposed.route.path!r} is not."
            hint = "A gateway refuses them. Declare the route with public=True, or require a scope: HasScope(...)."
            yield Error(text, hint=hint, obj=module, id="pangaea.E025")
    elif not exposed.scopes:
        text = f"{exposed.name} requires no scope, so any token may call it."
        known = ", ".join(scope.name for scope in module.scopes) or "none"
        hint = f"Give it permission_classes = [HasScope(...)] with a scope of {module.label}: {known}. Or [AllowAny]."
        yield Error(text, hint=hint, obj=module, id="pangaea.E024")


def _repeated_effects(module: ModuleConfig, exposed: Exposed) -> Iterator[Error]:
    for method in ("post", "put", "patch", "delete"):
        if not hasattr(exposed.view, method):
            continue
        declaration = declaration_of(exposed.view, method)
        if declaration is None:
            text = f"{exposed.name}.{method} changes something and takes no Idempotency-Key, so a repeat does it twice."
            hint = (
                f'Decorate it with @idempotent(using="{module.label}"), or with @not_idempotent(because=...) if its '
                "request or its answer holds a secret."
            )
            yield Error(text, hint=hint, obj=module, id="pangaea.E028")
        elif declaration.resource and declaration.resource not in _names(module):
            text = (
                f"{exposed.name}.{method} names the resource {declaration.resource!r}, which is no URL pattern of it."
            )
            hint = f"There are: {', '.join(sorted(_names(module)))}."
            yield Error(text, hint=hint, obj=module, id="pangaea.E028")


def _names(module: ModuleConfig) -> set[str]:
    """The names of its URL patterns."""
    return {
        pattern.name
        for route in module.routes
        for pattern in _patterns(import_module(route.urlconf).urlpatterns)
        if pattern.name
    }


def _patterns(patterns: Iterable[Any]) -> Iterator[URLPattern]:
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield from _patterns(pattern.url_patterns)
        else:
            yield pattern
