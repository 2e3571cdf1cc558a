"""Fields of this version that several routes share. EmailField normalises the address."""

from typing import Any

from django.core.exceptions import ValidationError
from rest_framework import serializers
from rest_framework.fields import get_error_detail

from modules.users import queries
from modules.users.models import FULL_NAME_LENGTH
from modules.users.rules import emails, passwords
from modules.users.rules.passwords import MAX_BYTES
from pangaea.api.bodies import StrictCharField
from pangaea.api.fields import NameField, documented
from pangaea.text import REFUSED


class EmailField(StrictCharField, serializers.EmailField):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=emails.MAX_LENGTH, **kwargs)
        documented(self, examples=["ada@example.com"])

    def to_internal_value(self, data: Any) -> str:
        return emails.normalised(super().to_internal_value(data))


class FullNameField(NameField):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=FULL_NAME_LENGTH, **kwargs)
        documented(self, examples=["Ada Lovelace"])


class PasswordField(StrictCharField):
    """Not trimmed, and never sent back."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=MAX_BYTES, trim_whitespace=False, write_only=True, **kwargs)
        documented(self, format="password", pattern=r"^[^\u0000]*$", examples=["tectonic plates drift"])

    def run_validation(self, data: Any = serializers.empty) -> Any:
        password = super().run_validation(data)
        if isinstance(password, str) and len(password.encode()) > MAX_BYTES:
            raise serializers.ValidationError(f"A password has at most {MAX_BYTES} bytes.", code="max_length")
        return password


class NewPasswordField(PasswordField):
    """One that `accept_password` judges: the document has those of its rules that JSON Schema can express."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        text = rf"[^{REFUSED}]*"
        documented(self, minLength=passwords.min_length(), pattern=rf"^{text}[^0-9{REFUSED}]{text}$")


def accept_password(field: str, password: str, *, email: str, full_name: str) -> None:
    """Raise ValidationError, naming the field of the body, for a password that is too easy to guess."""
    try:
        queries.check_new_password(password, email=email, full_name=full_name)
    except ValidationError as error:
        raise serializers.ValidationError({field: get_error_detail(error)}) from error
