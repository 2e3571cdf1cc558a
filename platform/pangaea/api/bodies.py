"""Request bodies are taken at their word: nothing unknown is skipped, no type stands in for another."""

from collections.abc import Mapping
from typing import Any

from rest_framework import serializers

MAX_NAMED = 10
"""How many mistakes of one kind an answer names, so that it stays smaller than the question."""


class StrictSerializer(serializers.Serializer[Any]):
    """Refuses a member that it does not know, so that a misspelt or forbidden one is not silently without effect."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping) and (unknown := data.keys() - self.fields.keys()):
            message = f"Unknown member. Known: {', '.join(self.fields)}."
            named = sorted(unknown)[:MAX_NAMED]
            raise serializers.ValidationError({name: [message] for name in named}, code="unknown")
        return super().to_internal_value(data)


class StrictIntegerField(serializers.IntegerField):
    """A JSON number without a fraction: no string, no float and no boolean stands in for one."""

    def to_internal_value(self, data: Any) -> int:
        if type(data) is not int:
            self.fail("invalid")
        return data


class StrictCharField(serializers.CharField):
    """A JSON string: no number stands in for one."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)
