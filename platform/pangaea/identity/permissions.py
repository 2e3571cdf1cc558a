"""What a caller's token allows. Ownership is checked by the query: another customer's order is not found."""

import functools
from typing import ClassVar

from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from pangaea.errors import Forbidden
from pangaea.identity.principal import Principal


class ScopePermission(BasePermission):
    """All of `scopes` are required; unsafe methods require `changing` instead, where it is set. See HasScope."""

    scopes: ClassVar[tuple[str, ...]] = ()
    changing: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def required(cls, method: str | None) -> tuple[str, ...]:
        """The scopes that a request of this method requires."""
        return cls.scopes if method in SAFE_METHODS else cls.changing or cls.scopes

    def has_permission(self, request: Request, view: APIView) -> bool:
        """False for an anonymous request, which DRF answers with 401. Raises Forbidden when a scope is missing."""
        if not isinstance(request.user, Principal):
            return False
        required = self.required(request.method)
        if not request.user.allows(*required):
            names = " ".join(required)
            raise Forbidden(
                "insufficient_scope", f"This needs an access token with the scope {names}.", required_scope=names
            )
        return True


@functools.cache
def HasScope(*scopes: str, changing: str = "") -> type[ScopePermission]:  # noqa: N802 - reads as the class that it returns
    """A permission class: `permission_classes = [HasScope("orders:read", changing="orders:write")]`.

    With several scopes all are required. Unsafe methods require `changing` instead, where it is given. The module
    declares each scope in ModuleConfig.scopes; with an undeclared scope the process does not start.
    """
    if not scopes:
        raise ValueError("HasScope needs at least one scope.")
    return type("HasScope", (ScopePermission,), {"scopes": scopes, "changing": (changing,) if changing else ()})
