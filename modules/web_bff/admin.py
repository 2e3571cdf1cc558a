"""Read-only pages of the tables. An error in a read model is corrected by a rebuild, not by hand."""

from collections.abc import Iterator
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from modules.web_bff import queries
from modules.web_bff.models import (
    CatalogueItem,
    Checkout,
    CheckoutOutcome,
    OrderLine,
    OrderSummary,
    Profile,
    TimelineEntry,
)
from pangaea.ops.admin import Figure, LinkColumn, MoneyColumn, ReadOnlyAdmin

CUSTOMER = LinkColumn("customer_id", model=Profile, name="full_name", description="customer")
ORDER = LinkColumn("order_id", model=OrderSummary, name="id", description="order")
PRICE = MoneyColumn("price_amount", "price_currency", description="price")
TOTAL = MoneyColumn("total_amount", "total_currency", description="total")
DETAILS: Any = ("id", CUSTOMER, "status", "product_names", "item_count", TOTAL, "placed_at", "cancelled_at")
CHECKOUT: Any = ("id", CUSTOMER, "asked_at")
UNIT_PRICE = MoneyColumn("unit_price_amount", "unit_price_currency", description="unit price")


@admin.register(Profile)
class ProfileAdmin(ReadOnlyAdmin):
    icon = "person"
    list_display = ("email", "full_name", "active", "user_id")
    list_filter = ("active",)
    search_fields = ("email", "full_name", "user_id")


@admin.register(CatalogueItem)
class CatalogueItemAdmin(ReadOnlyAdmin):
    icon = "storefront"
    list_display = ("sku", "name", PRICE, "active")
    list_filter = ("active",)
    search_fields = ("sku", "name")


@admin.register(OrderSummary)
class OrderSummaryAdmin(ReadOnlyAdmin):
    icon = "receipt_long"
    list_display = ("id", CUSTOMER, "status", "item_count", TOTAL, "placed_at")
    list_filter = ("status",)
    search_fields = ("=id", "=customer_id", "=lines__sku", "lines__name")
    date_hierarchy = "placed_at"
    fields = readonly_fields = DETAILS


@admin.register(OrderLine)
class OrderLineAdmin(ReadOnlyAdmin):
    icon = "list"
    list_display = ("id", ORDER, "sku", "name", "quantity", UNIT_PRICE)
    search_fields = ("=order__id", "sku")


@admin.register(TimelineEntry)
class TimelineEntryAdmin(ReadOnlyAdmin):
    icon = "timeline"
    list_display = ("id", ORDER, "what", "at")
    list_filter = ("what",)
    search_fields = ("=order__id",)


@admin.register(Checkout)
class CheckoutAdmin(ReadOnlyAdmin):
    icon = "shopping_cart_checkout"
    list_display = ("id", CUSTOMER, "asked_at")
    search_fields = ("=id", "=customer_id")
    date_hierarchy = "asked_at"
    fields = readonly_fields = CHECKOUT

    def overview(self, request: HttpRequest) -> Iterator[Figure]:
        today = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
        url = reverse("admin:web_bff_checkout_changelist")
        yield Figure("Checkouts today", queries.checkouts_since(today), url=url)


@admin.register(CheckoutOutcome)
class CheckoutOutcomeAdmin(ReadOnlyAdmin):
    icon = "rule"
    list_display = ("checkout_id", ORDER, "code", "detail")
    list_filter = ("code",)
    search_fields = ("=checkout_id", "=order_id")
