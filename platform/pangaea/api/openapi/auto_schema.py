"""Operations and components from views and serializers: drf-spectacular's, with the names and rules of this project."""

from typing import Any

from drf_spectacular import openapi
from drf_spectacular.extensions import OpenApiAuthenticationExtension

from pangaea import modules
from pangaea.api import versioning
from pangaea.api.openapi import strict
from pangaea.identity.permissions import ScopePermission


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call] # spectacular's own lack types
    """How the documents describe BearerAuthentication."""

    target_class = "pangaea.identity.authentication.BearerAuthentication"
    name = "bearer"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}


class AutoSchema(openapi.AutoSchema):
    """Operations are tagged with their module and name the scopes they need; components are named after their module.

    So two modules may each have an `OrderSerializer`: OrdersOrder and WebBffOrder. From version 2 on a component is
    named after its version too: OrdersV2Order.
    """

    def get_operation(self, *arguments: Any, **named: Any) -> Any:
        """The operation, with what the describers add. None for a view that is left out of the documents."""
        from pangaea.api.openapi import describers, problems  # DRF's views import this file, and describers import them

        operation = super().get_operation(*arguments, **named)
        if operation is not None:
            operation.setdefault("security", [])
            operation["responses"] = {status: _described(status, r) for status, r in operation["responses"].items()}
            for describe in describers.DESCRIBERS:
                describe(self.view, self.method, operation)
            problems.finish(operation, modules.owner_of(type(self.view)))
        return operation

    def get_auth(self) -> list[Any]:
        """The ways in, with the scopes that each needs.

        A public operation has none: for spectacular's empty requirement generators ask for a token.
        """
        ways: list[Any] = super().get_auth()
        return [dict.fromkeys(way, self._scopes()) for way in ways] if any(ways) else []

    def _map_serializer_field(self, field: Any, direction: Any, bypass_extensions: bool = False) -> Any:  # noqa: FBT001, FBT002 - spectacular's signature
        schema = super()._map_serializer_field(field, direction, bypass_extensions)  # type: ignore[no-untyped-call]
        if schema is not None:
            strict.complete_field(schema, field, direction)
        return schema

    def _map_basic_serializer(self, serializer: Any, direction: Any) -> Any:
        schema = super()._map_basic_serializer(serializer, direction)  # type: ignore[no-untyped-call]
        strict.complete_object(schema, serializer, direction)
        return schema

    def get_summary(self) -> str:
        """The first sentence of the description."""
        return (super().get_description() or "").partition("\n")[0].partition(". ")[0].removesuffix(".")

    def get_tags(self) -> list[str]:
        owner = modules.owner_of(type(self.view))
        return [owner.label] if owner else list(super().get_tags())

    def get_description(self) -> str:  # type: ignore[override] # as spectacular itself does
        needed = self._scopes()
        text = super().get_description() or ""
        return f"{text}\n\nNeeds the scope `{' '.join(needed)}`.".strip() if needed else text

    def _scopes(self) -> list[str]:
        return [
            scope
            for permission in self.view.get_permissions()
            if isinstance(permission, ScopePermission)
            for scope in permission.required(self.method)
        ]

    def get_serializer_name(self, serializer: Any, direction: Any) -> str:
        owner = modules.owner_of(type(serializer))
        version = versioning.version_of(type(serializer).__module__.replace(".", "/")) or "v1"
        return (
            (owner.label.title().replace("_", "") if owner else "")
            + ("" if version == "v1" else version.upper())
            + super().get_serializer_name(serializer, direction)
        )


_DESCRIPTIONS = {
    "200": "The answer.",
    "201": "It was created. `Location` is its address.",
    "202": "Accepted, and not done yet. `Location` is the address of the result.",
    "204": "Done; there is no body.",
}


def _described(status: str, response: dict[str, Any]) -> dict[str, Any]:
    if response.get("description") in {"", "No response body"}:
        response["description"] = _DESCRIPTIONS.get(status, "The answer.")
    return response
