"""Fields that the APIs of all modules share."""

from typing import Any

from rest_framework import serializers

from pangaea import text
from pangaea.api.bodies import StrictCharField
from pangaea.messages import Money


class MoneySerializer(serializers.Serializer[Money]):
    amount = serializers.IntegerField(help_text="in the currency's smallest unit")
    currency = serializers.CharField(help_text="ISO 4217")


class NameField(StrictCharField):
    """A name in one spelling (`text.name`). `max_length` counts the characters of that spelling."""

    def to_internal_value(self, data: Any) -> str:
        return text.name(super().to_internal_value(data))
