"""A customer's orders: /api/v1/orders."""

from typing import Any
from uuid import UUID

from django.urls import path, reverse
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from modules.orders import commands, queries
from modules.orders.api import lists
from modules.orders.api.fields import ProductNameField, SkuField
from modules.orders.api.new_order import NewOrderSerializer, quantities_of
from modules.orders.queries import OrderDetails
from modules.orders.rules.lifecycle import Status
from modules.orders.rules.pricing import MAX_LINES, MAX_QUANTITY, PricedLine
from pangaea.api.conditional_requests import Precondition, conditional_change, conditional_read, returns_tag, tagged
from pangaea.api.fields import MoneySerializer, documented
from pangaea.api.idempotency import idempotent
from pangaea.api.pagination import CursorPage
from pangaea.identity.permissions import HasScope
from pangaea.identity.principal import Principal


class OrderLineSerializer(serializers.Serializer[PricedLine]):
    sku = SkuField()
    name = ProductNameField(help_text="as of the order")
    quantity = serializers.IntegerField(min_value=1, max_value=MAX_QUANTITY)
    unit_price = MoneySerializer(help_text="as of the order")


class OrderSerializer(serializers.Serializer[OrderDetails]):
    id = serializers.UUIDField()
    status = serializers.ChoiceField(choices=[(each.value, each.value) for each in Status])
    lines = OrderLineSerializer(many=True, max_length=MAX_LINES)  # type: ignore[call-arg]  # DRF takes it
    total = MoneySerializer()
    placed_at = serializers.DateTimeField()
    cancelled_at = documented(serializers.DateTimeField(allow_null=True), examples=[None])


class OrdersView(GenericAPIView[Any]):
    """My orders."""

    permission_classes = [HasScope("orders:read", changing="orders:write")]
    serializer_class = OrderSerializer
    pagination_class = CursorPage
    links = {
        "post": {
            "orders_read_order": {"order_id": "$response.body#/id"},
            "orders_cancel_order": {"order_id": "$response.body#/id"},
        },
    }
    problems = {"post": ("customer_deactivated", "mixed_currencies", "order_not_found", "out_of_stock", "unknown_sku")}
    ordering = lists.ORDER_ORDERINGS["-placed"]
    orderings = lists.ORDER_ORDERINGS
    filters = lists.ORDER_FILTERS

    @extend_schema(operation_id="orders_list_orders", responses=OrderSerializer(many=True))
    def get(self, request: Request) -> Response:
        """My orders, the latest first."""
        orders = queries.list_orders(customer_id=Principal.of(request).subject, page=self.paginate_queryset)
        return self.get_paginated_response(self.get_serializer(orders, many=True).data)

    @extend_schema(operation_id="orders_place_order", request=NewOrderSerializer, responses={201: OrderSerializer})
    @idempotent(using="orders")
    @returns_tag
    def post(self, request: Request) -> Response:
        """Place an order: its stock is reserved, at the prices of this moment."""
        quantities = quantities_of(request)
        order = commands.place_order(customer_id=Principal.of(request).subject, quantities=quantities)
        location = f"{request.path}/{order.id}"
        data = self.get_serializer(order).data
        return tagged(data, version=order.version, status=status.HTTP_201_CREATED, headers={"Location": location})


class OrderView(GenericAPIView[Any]):
    """One of my orders."""

    permission_classes = [HasScope("orders:read")]
    serializer_class = OrderSerializer
    problems = {"get": ("order_not_found",)}

    @extend_schema(operation_id="orders_read_order")
    @conditional_read
    def get(self, request: Request, order_id: UUID) -> Response:
        order = queries.read_order(customer_id=Principal.of(request).subject, order_id=order_id)
        return tagged(self.get_serializer(order).data, version=order.version)


class CancelView(GenericAPIView[Any]):
    """Cancel one of my orders. A second time is refused with 409 `order_not_cancellable`."""

    permission_classes = [HasScope("orders:write")]
    serializer_class = OrderSerializer
    links = {"post": {"orders_read_order": {"order_id": "$response.body#/id"}}}
    problems = {"post": ("order_not_cancellable", "order_not_found")}

    @extend_schema(operation_id="orders_cancel_order", request=None, responses=OrderSerializer)
    @idempotent(using="orders", resource="orders-v1-order")
    @conditional_change()
    def post(self, request: Request, order_id: UUID, *, precondition: Precondition) -> Response:
        order = commands.cancel_order(
            customer_id=Principal.of(request).subject, order_id=order_id, precondition=precondition
        )
        data, location = self.get_serializer(order).data, reverse("orders-v1-order", args=[order.id])
        return tagged(data, version=order.version, headers={"Content-Location": location})


urlpatterns = [
    path("", OrdersView.as_view(), name="orders-v1-orders"),
    path("/<id:order_id>", OrderView.as_view(), name="orders-v1-order"),
    path("/<id:order_id>/cancel", CancelView.as_view(), name="orders-v1-order-cancel"),
]
