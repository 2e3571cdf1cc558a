"""What a token's scopes allow. Whose thing it is, the query decides: a stranger's order is not found."""

import functools
from typing import ClassVar

from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from pangaea.errors import Forbidden
from pangaea.identity.principal import Principal


class ScopePermission(BasePermission):
    """All of `scopes` are needed. Use HasScope."""

    scopes: ClassVar[tuple[str, ...]] = ()

    def has_permission(self, request: Request, view: APIView) -> bool:
        """False for nobody known, which DRF answers with 401. Raises Forbidden when a scope is missing."""
        if not isinstance(request.user, Principal):
            return False
        if not request.user.allows(*self.scopes):
            wanted = " ".join(self.scopes)
            raise Forbidden(
                "insufficient_scope",
                f"This needs an access token with the scope {wanted}.",
                required_scope=wanted,
            )
        return True


@functools.cache
def HasScope(*scopes: str) -> type[ScopePermission]:  # noqa: N802 - reads as the class that it returns
    """A permission class: `permission_classes = [HasScope("orders:read")]`. With several scopes, all are needed."""
    if not scopes:
        raise ValueError("HasScope needs at least one scope.")
    return type("HasScope", (ScopePermission,), {"scopes": scopes})
