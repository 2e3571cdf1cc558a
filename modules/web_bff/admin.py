"""Read-only pages of the tables. An error in a read model is corrected by a rebuild, not by hand."""

from django.contrib import admin

from modules.web_bff.models import (
    CatalogueItem,
    Checkout,
    CheckoutOutcome,
    OrderLine,
    OrderSummary,
    Profile,
    TimelineEntry,
)
from pangaea.ops.admin import ReadOnlyAdmin


@admin.register(Profile)
class ProfileAdmin(ReadOnlyAdmin):
    icon = "person"
    list_display = ("email", "full_name", "active", "user_id")
    list_filter = ("active",)
    search_fields = ("email", "full_name", "user_id")


@admin.register(CatalogueItem)
class CatalogueItemAdmin(ReadOnlyAdmin):
    icon = "storefront"
    list_display = ("sku", "name", "price_amount", "price_currency", "active")
    list_filter = ("active",)
    search_fields = ("sku", "name")


@admin.register(OrderSummary)
class OrderSummaryAdmin(ReadOnlyAdmin):
    icon = "receipt_long"
    list_display = ("id", "customer_id", "status", "item_count", "total_amount", "total_currency", "placed_at")
    list_filter = ("status",)
    search_fields = ("=id", "=customer_id")
    date_hierarchy = "placed_at"


@admin.register(OrderLine)
class OrderLineAdmin(ReadOnlyAdmin):
    icon = "list"
    list_display = ("order_id", "sku", "name", "quantity", "unit_price_amount", "unit_price_currency")
    search_fields = ("=order__id", "sku")


@admin.register(TimelineEntry)
class TimelineEntryAdmin(ReadOnlyAdmin):
    icon = "timeline"
    list_display = ("order_id", "what", "at")
    list_filter = ("what",)
    search_fields = ("=order__id",)


@admin.register(Checkout)
class CheckoutAdmin(ReadOnlyAdmin):
    icon = "shopping_cart_checkout"
    list_display = ("id", "customer_id", "asked_at")
    search_fields = ("=id", "=customer_id")
    date_hierarchy = "asked_at"


@admin.register(CheckoutOutcome)
class CheckoutOutcomeAdmin(ReadOnlyAdmin):
    icon = "rule"
    list_display = ("checkout_id", "order_id", "code", "detail")
    list_filter = ("code",)
    search_fields = ("=checkout_id", "=order_id")
