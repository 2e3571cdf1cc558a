"""Fields that the APIs of all modules share."""

from rest_framework import serializers

from pangaea.messages import Money


class MoneySerializer(serializers.Serializer[Money]):
    amount = serializers.IntegerField(help_text="in the currency's smallest unit")
    currency = serializers.CharField(help_text="ISO 4217")
