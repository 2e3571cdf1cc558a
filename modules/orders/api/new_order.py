"""The body of a request to place an order, the same in every version."""

from typing import Any

from rest_framework.request import Request

from modules.orders.rules.pricing import MAX_LINES, MAX_QUANTITY, MAX_SKU
from pangaea.api.bodies import StrictCharField, StrictIntegerField, StrictSerializer, refuse_repeated
from pangaea.api.fields import documented


class NewLineSerializer(StrictSerializer):
    sku = documented(StrictCharField(max_length=MAX_SKU, trim_whitespace=False), examples=["MAP-PANGAEA"])
    quantity = StrictIntegerField(min_value=1, max_value=MAX_QUANTITY)


class NewOrderSerializer(StrictSerializer):
    lines = NewLineSerializer(many=True, allow_empty=False, max_length=MAX_LINES)  # type: ignore[call-arg]  # DRF takes it

    def validate_lines(self, lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
        refuse_repeated(lines, "sku", remedy="Add the quantities up in one line.")
        return lines


def quantities_of(request: Request) -> dict[str, int]:
    """The ordered quantities by sku, in the order of the lines. Raises DRF's ValidationError."""
    return {line["sku"]: line["quantity"] for line in NewOrderSerializer.read(request)["lines"]}
