"""One spelling per password (RFC 8265, OpaqueString), for customers and operators.

Whether é is one character or two depends on the keyboard: both are the same password.
"""

from typing import TYPE_CHECKING, Any

from django.contrib.auth.hashers import BasePasswordHasher

from pangaea import text

if TYPE_CHECKING:
    _Hasher = BasePasswordHasher
else:
    _Hasher = object


class _Verbatim(str):
    """A password that is hashed in the spelling that it has."""

    __slots__ = ()


class Opaque(_Hasher):
    """A mixin for one of Django's hashers, put before it. It hashes a password in its one spelling.

    A hash of an earlier version, of another spelling, is still verified by that spelling.
    """

    def encode(self, password: str, *args: Any, **kwargs: Any) -> str:
        spelling = text.opaque(password)
        if isinstance(password, _Verbatim) or spelling == password:
            return super().encode(password, *args, **kwargs)
        # Takes as long as `verify`, which tries both. Django hashes the password of an unknown account for its delay.
        super().encode(password, *args, **kwargs)
        return super().encode(spelling, *args, **kwargs)

    def verify(self, password: str, encoded: str) -> bool:
        spellings = dict.fromkeys((text.opaque(password), password))
        return any(super(Opaque, self).verify(_Verbatim(each), encoded) for each in spellings)


class VisibleCharacters:
    """A validator for AUTH_PASSWORD_VALIDATORS: a character that cannot be seen could not be typed again."""

    def validate(self, password: str, user: object = None) -> None:
        """Raise ValidationError for a new password with a hidden character."""
        text.visible(password)

    def get_help_text(self) -> str:
        return "Your password must contain only characters that can be seen, and spaces."
