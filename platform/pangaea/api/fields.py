"""Fields that the APIs of all modules share."""

from typing import Any, TypeVar

from django.core.validators import RegexValidator
from rest_framework import serializers

from pangaea import text
from pangaea.api.bodies import StrictCharField
from pangaea.messages import Money

DOCUMENTED = "documented"
"""The attribute with members of a field's or a serializer's schema in the OpenAPI documents."""
Documented = TypeVar("Documented", bound=serializers.Field[Any, Any, Any, Any])


def documented(field: Documented, **members: object) -> Documented:
    """The field, with these members of JSON Schema in the OpenAPI documents: `examples=["ABC-1"]`, `minLength=10`.

    For what a field enforces in a way that no document can follow, and for examples. A class of serializers declares
    them for the whole object: `documented = {"dependentRequired": {...}}`.
    """
    setattr(field, DOCUMENTED, {**getattr(field, DOCUMENTED, {}), **members})
    return field


class MoneySerializer(serializers.Serializer[Money]):
    amount = documented(
        serializers.IntegerField(min_value=-(2**63), max_value=2**63 - 1, help_text="in the currency's smallest unit"),
        examples=[1999],
    )
    currency = documented(
        serializers.CharField(
            min_length=3, max_length=3, validators=[RegexValidator(r"\A[A-Z]{3}\Z")], help_text="ISO 4217"
        ),
        examples=["EUR"],
    )


class NameField(StrictCharField):
    """A name in one spelling (`text.name`). `max_length` counts the characters of that spelling."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        documented(self, pattern=text.VISIBLE_PATTERN)

    def to_internal_value(self, data: Any) -> str:
        return text.name(super().to_internal_value(data))
