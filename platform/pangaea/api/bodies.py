"""Strict request bodies: unknown members are refused, and so are values of another JSON type."""

from collections.abc import Mapping, Sequence
from typing import Any

from rest_framework import serializers
from rest_framework.request import Request

from pangaea import text

MAX_NAMED = 10
"""The most unknown members that an answer names. A body of one megabyte can hold a hundred thousand of them."""


class StrictSerializer(serializers.Serializer[Any]):
    """Refuses unknown members (`unknown_field`): a misspelt optional one would have no effect and raise no error."""

    @classmethod
    def read(cls, request: Request) -> dict[str, Any]:
        """The validated fields of the request's body. Raises ValidationError."""
        body = cls(data=request.data)
        body.is_valid(raise_exception=True)
        return dict(body.validated_data)

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping) and (unknown := data.keys() - self.fields.keys()):
            message = f"There is no such field; there are: {', '.join(self.fields)}."
            named = map(text.shortened, sorted(unknown)[:MAX_NAMED])
            raise serializers.ValidationError({name: [message] for name in named}, code="unknown_field")
        return super().to_internal_value(data)


class StrictIntegerField(serializers.IntegerField):
    """A JSON number without a fraction; 2.0 is 2 (JSON Schema Validation 2020-12, 6.1.1).

    A string or a boolean is refused.
    """

    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, float) and data.is_integer():
            return int(data)
        if type(data) is not int:
            self.fail("invalid")
        return data


class StrictCharField(serializers.CharField):
    """A JSON string. A number is refused."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


def refuse_repeated(items: Sequence[Mapping[str, Any]], field: str, *, remedy: str) -> None:
    """Raise ValidationError (`repeated`) for every item whose `field` has the same value as that of an earlier item.

    `remedy` is a sentence for the client.
    """
    first: dict[Any, int] = {}
    repeated: dict[Any, Any] = {
        index: {field: [f"This {field} is in item {first[item[field]]} already. {remedy}"]}
        for index, item in enumerate(items)
        if first.setdefault(item[field], index) != index
    }
    if repeated:
        raise serializers.ValidationError(repeated, code="repeated")
