"""Fields of answers, the same in every version."""

from typing import Any

from rest_framework import serializers

from pangaea.api.fields import documented


class SkuField(serializers.CharField):
    """The sku of a product in an answer."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        documented(self, minLength=1, maxLength=32, examples=["MAP-PANGAEA"])


class ProductNameField(serializers.CharField):
    """The name of a product in an answer."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        documented(self, minLength=1, maxLength=200, examples=["Wall map of Pangaea"])
