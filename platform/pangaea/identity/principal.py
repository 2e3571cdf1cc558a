"""The caller of a request."""

from dataclasses import dataclass
from typing import ClassVar, Self
from uuid import UUID

from rest_framework.request import Request

from pangaea.errors import Misuse


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Somebody whose access token was verified. It comes from the token alone, no database was asked.

    `subject` is the account's id, `scopes` what the token allows. DRF reads `is_authenticated` of `request.user`.
    """

    subject: UUID
    scopes: frozenset[str] = frozenset()

    is_authenticated: ClassVar[bool] = True
    is_anonymous: ClassVar[bool] = False
    is_active: ClassVar[bool] = True

    @classmethod
    def of(cls, request: Request) -> Self:
        """The caller of a request that needed a token. Raises Misuse in a view that lets strangers in."""
        if not isinstance(request.user, cls):
            raise Misuse("Nobody is known here: give the view permission_classes = [HasScope(...)].")
        return request.user

    def allows(self, *scopes: str) -> bool:
        """Whether the token carries all of these scopes."""
        return self.scopes.issuperset(scopes)
