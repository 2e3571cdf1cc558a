"""The filters and orderings of lists. All versions have the same."""

from collections.abc import Mapping

from django.db.models import Q
from rest_framework import serializers

from modules.orders.models import Order
from modules.orders.rules.lifecycle import Status
from modules.orders.rules.pricing import MAX_PRICE
from pangaea.api.fields import documented
from pangaea.api.filters import Filter, FlagField, MomentField, NumberField

ORDER_ORDERINGS: Mapping[str, tuple[str, ...]] = {"-placed": ("-id",), "placed": ("id",)}
"""An order's id is created when it is placed, so the ids have the order of the times."""
ORDER_FILTERS: Mapping[str, Filter] = {
    "status": Filter(
        "status", serializers.ChoiceField([(each.value, each.value) for each in Status]), "Only orders in this state."
    ),
    "placed_since": Filter(Order.placed_since, MomentField(), "Only orders placed at this moment or later."),
    "placed_before": Filter(Order.placed_before, MomentField(), "Only orders placed before this moment."),
}

PRODUCT_ORDERINGS: Mapping[str, tuple[str, ...]] = {
    "name": ("name", "sku"),
    "-name": ("-name", "-sku"),
    "price": ("price_currency", "price_amount", "sku"),
    "-price": ("-price_currency", "-price_amount", "-sku"),
}
"""Prices of one currency are together: amounts of different currencies do not compare."""
PRODUCT_FILTERS: Mapping[str, Filter] = {
    "in_stock": Filter(
        lambda in_stock: Q(stock__gt=0) if in_stock else Q(stock=0),
        FlagField(),
        "`true`: only products that are in stock; `false`: only those that are sold out.",
    ),
    "currency": Filter(
        "price_currency",
        documented(serializers.RegexField(r"^[A-Z]{3}\Z", trim_whitespace=False), examples=["EUR"]),
        "Only products with prices in this currency (ISO 4217).",
    ),
    "price_min": Filter(
        "price_amount__gte",
        NumberField(min_value=0, max_value=MAX_PRICE),
        "Only prices from this amount on, in the currency's smallest unit. Use it with `currency`.",
    ),
    "price_max": Filter(
        "price_amount__lte",
        NumberField(min_value=0, max_value=MAX_PRICE),
        "Only prices up to this amount, in the currency's smallest unit. Use it with `currency`.",
    ),
}
