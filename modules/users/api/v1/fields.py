"""What request bodies of this module have in common: they are strict, and an email address is normalised once."""

import unicodedata
from collections.abc import Mapping
from typing import Any

from rest_framework import serializers
from rest_framework.request import Request

from modules.users import emails
from modules.users.models import FULL_NAME_LENGTH
from modules.users.passwords import MAX_BYTES

_REPORTED = 10  # a body of a megabyte can hold a hundred thousand unknown names


class Body(serializers.Serializer[Any]):
    """Refuses fields that it does not know: a misspelt optional one would be dropped without a word otherwise."""

    def to_internal_value(self, data: Any) -> Any:
        unknown = data.keys() - self.fields.keys() if isinstance(data, Mapping) else set()
        if unknown:
            known = ", ".join(self.fields)
            refusal = serializers.ErrorDetail(f"There is no such field; there are: {known}.", code="unknown_field")
            raise serializers.ValidationError({name: [refusal] for name in sorted(unknown)[:_REPORTED]})
        return super().to_internal_value(data)

    @classmethod
    def read(cls, request: Request) -> dict[str, Any]:
        """The validated fields of the request's body."""
        body = cls(data=request.data)
        body.is_valid(raise_exception=True)
        return dict(body.validated_data)


class Text(serializers.CharField):
    """A JSON string; DRF's own field takes numbers too."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class EmailField(Text, serializers.EmailField):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=emails.MAX_LENGTH, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        try:
            return emails.normalised(super().to_internal_value(data))
        except ValueError as error:
            raise serializers.ValidationError(str(error), code="invalid") from error


class FullNameField(Text):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=FULL_NAME_LENGTH, **kwargs)

    def run_validation(self, data: Any = serializers.empty) -> Any:
        name = super().run_validation(data)
        # A line break in a name forges a line wherever the name is printed: in a mail's header, in a log.
        if isinstance(name, str) and any(unicodedata.category(character) in {"Cc", "Zl", "Zp"} for character in name):
            raise serializers.ValidationError("Control characters and line breaks are not allowed.", code="invalid")
        return name


class PasswordField(Text):
    """Taken as it is, blanks included, and never sent back."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=MAX_BYTES, trim_whitespace=False, write_only=True, **kwargs)

    def run_validation(self, data: Any = serializers.empty) -> Any:
        password = super().run_validation(data)
        if isinstance(password, str) and len(password.encode()) > MAX_BYTES:
            raise serializers.ValidationError(f"A password has at most {MAX_BYTES} bytes.", code="max_length")
        return password
