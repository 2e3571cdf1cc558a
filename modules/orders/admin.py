"""The pages of operators. Every change goes through a command, which applies the rules."""

from collections.abc import Iterator
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from unfold.widgets import UnfoldAdminIntegerFieldWidget

from modules.orders import commands, queries
from modules.orders.models import MAX_STOCK, Customer, Order, OrderLine, Product
from pangaea.ops.admin import Figure, LinkColumn, ModuleAdmin, MoneyColumn, ReadOnlyAdmin, ReadOnlyInline

CUSTOMER = LinkColumn("customer_id", model=Customer, name="name", description="customer")
PRICE = MoneyColumn("price_amount", "price_currency", description="price")
TOTAL = MoneyColumn("total_amount", "total_currency", description="total")
UNIT_PRICE = MoneyColumn("unit_price_amount", "unit_price_currency", description="unit price")
LINE: Any = ("sku", "name", "quantity", UNIT_PRICE)
DETAILS: Any = ("id", CUSTOMER, "status", TOTAL, "placed_at", "cancelled_at", "checkout_id")
ENTRY = ("name", "description", "price_amount", "price_currency", "active")


class ProductForm(forms.ModelForm):  # type: ignore[type-arg]  # it takes none at run time
    adjust_stock_by = forms.IntegerField(
        required=False,
        min_value=-MAX_STOCK,
        max_value=MAX_STOCK,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="How many pieces arrived; negative: how many were lost. Orders placed meanwhile stay counted.",
    )

    class Meta:
        model = Product
        fields = ("sku", *ENTRY, "stock")


@admin.register(Product)
class ProductAdmin(ModuleAdmin):
    """A product is never deleted, because orders refer to it: it is made inactive."""

    icon: ClassVar[str] = "inventory_2"
    form = ProductForm
    list_display = ("sku", "name", PRICE, "stock", "active")
    list_filter = ("active",)
    search_fields = ("sku", "name")
    ordering = ("sku",)

    def get_fields(self, request: HttpRequest, obj: Product | None = None) -> tuple[str, ...]:
        return ("sku", *ENTRY, "stock") if obj is None else ("sku", *ENTRY, "stock", "adjust_stock_by", "changed_at")

    def get_readonly_fields(self, request: HttpRequest, obj: Product | None = None) -> tuple[str, ...]:
        return () if obj is None else ("sku", "stock", "changed_at")

    def has_delete_permission(self, request: HttpRequest, obj: Product | None = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Product, form: ProductForm, change: bool) -> None:  # noqa: FBT001 - Django's signature
        entry: dict[str, Any] = {
            "name": obj.name,
            "description": obj.description,
            "price": obj.price,
            "active": obj.active,
        }
        if not change:
            commands.add_product(sku=obj.sku, stock=obj.stock, **entry)
            return
        commands.change_product(sku=obj.sku, **entry)
        if by := form.cleaned_data["adjust_stock_by"]:
            commands.adjust_stock(sku=obj.sku, by=by)


class OrderLineInline(ReadOnlyInline):
    model = OrderLine
    fields = readonly_fields = LINE


@admin.register(Order)
class OrderAdmin(ReadOnlyAdmin):
    icon: ClassVar[str] = "receipt_long"
    list_display = ("id", CUSTOMER, "status", TOTAL, "placed_at", "cancelled_at")
    list_filter = ("status",)
    search_fields = ("=id", "=customer_id", "=lines__product__sku", "lines__name")
    search_help_text = "An order's or a customer's id, a product's SKU, or a part of its name."
    fields = readonly_fields = DETAILS
    ordering = ("-id",)
    inlines = (OrderLineInline,)
    actions = ("cancel",)

    def overview(self, request: HttpRequest) -> Iterator[Figure]:
        today = queries.sales_since(timezone.now().replace(hour=0, minute=0, second=0, microsecond=0))
        yield Figure("Orders today", today.orders, url=reverse("admin:orders_order_changelist"))
        yield Figure("Sales today", today.totals)

    @admin.action(description="Cancel the selected order", permissions=["cancel"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Order]) -> None:
        # One transaction that cancelled several would lock the products of the second order after those of the first,
        # not in the order of their skus: it could deadlock with customers.
        orders = list(queryset[:2])
        if len(orders) > 1:
            self.message_user(request, "Select a single order to cancel.", messages.ERROR)
            return
        for order in orders:
            commands.cancel_order(order_id=order.id)
            self.message_user(request, f"Order {order.id} is cancelled, its stock given back.", messages.SUCCESS)

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("orders.change_order"))


@admin.register(Customer)
class CustomerAdmin(ReadOnlyAdmin):
    icon: ClassVar[str] = "groups"
    list_display = ("customer_id", "name", "active")
    list_filter = ("active",)
    search_fields = ("=customer_id", "name")
