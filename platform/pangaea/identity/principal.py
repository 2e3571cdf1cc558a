"""The caller of a request."""

from dataclasses import dataclass
from typing import ClassVar, Self
from uuid import UUID

from rest_framework.request import Request

from pangaea import modules
from pangaea.errors import Misuse
from pangaea.modules import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """A caller whose access token was verified. Everything comes from the token: no database is read.

    `subject` is the account's id. `scopes` are the scopes that the token is narrowed to; None if it is not narrowed.
    `plan` is the account's plan when the token was issued. DRF reads `is_authenticated` of `request.user`.
    """

    subject: UUID
    roles: frozenset[str] = frozenset()
    scopes: frozenset[str] | None = None
    plan: Plan = Plan.FREE

    is_authenticated: ClassVar[bool] = True
    is_anonymous: ClassVar[bool] = False
    is_active: ClassVar[bool] = True

    @classmethod
    def of(cls, request: Request) -> Self:
        """The caller of a request that needed a token. Raises Misuse in a view that admits anonymous requests."""
        if not isinstance(request.user, cls):
            raise Misuse("The caller is not known here: give the view permission_classes = [HasScope(...)].")
        return request.user

    def allows(self, *scopes: str) -> bool:
        """Whether the caller's roles have all of these scopes, and the token, where it is narrowed, names them all.

        The module that declares a scope names its roles. A scope of a module that is not installed is not allowed.
        """
        declared = modules.scopes()
        return all(
            name in declared
            and not self.roles.isdisjoint(declared[name].roles)
            and (self.scopes is None or name in self.scopes)
            for name in scopes
        )
