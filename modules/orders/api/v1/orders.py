"""A customer's orders: /api/v1/orders."""

from typing import Any
from uuid import UUID

from django.db import transaction
from django.urls import path
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.generics import GenericAPIView
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request
from rest_framework.response import Response

from modules.orders import commands, queries
from modules.orders.api.v1.fields import MoneySerializer
from modules.orders.lifecycle import Status
from modules.orders.pricing import MAX_LINES, MAX_QUANTITY, MAX_SKU
from modules.orders.queries import LineDetails, OrderDetails
from pangaea.api.bodies import StrictCharField, StrictIntegerField, StrictSerializer
from pangaea.api.pagination import CursorPage
from pangaea.identity.permissions import HasScope


class NewLineSerializer(StrictSerializer):
    sku = StrictCharField(max_length=MAX_SKU, trim_whitespace=False)
    quantity = StrictIntegerField(min_value=1, max_value=MAX_QUANTITY)


class NewOrderSerializer(StrictSerializer):
    lines = NewLineSerializer(many=True, allow_empty=False, max_length=MAX_LINES)  # type: ignore[call-arg]  # DRF takes it

    def validate_lines(self, lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
        seen: set[str] = set()
        repeated: dict[Any, Any] = {}
        for index, line in enumerate(lines):
            if line["sku"] in seen:
                repeated[index] = {"sku": ["This product is in an earlier line. Add the quantities up in one."]}
            seen.add(line["sku"])
        if repeated:
            raise serializers.ValidationError(repeated, code="repeated")
        return lines


class OrderLineSerializer(serializers.Serializer[LineDetails]):
    sku = serializers.CharField()
    name = serializers.CharField(help_text="as of the order")
    quantity = serializers.IntegerField()
    unit_price = MoneySerializer(help_text="as of the order")


class OrderSerializer(serializers.Serializer[OrderDetails]):
    id = serializers.UUIDField()
    status = serializers.ChoiceField(choices=[(each.value, each.value) for each in Status])
    lines = OrderLineSerializer(many=True)
    total = MoneySerializer()
    placed_at = serializers.DateTimeField()
    cancelled_at = serializers.DateTimeField(allow_null=True)


def _customer(request: Request) -> UUID:
    """Who asks. HasScope lets nobody through but a Principal, of whom DRF's types do not know."""
    caller: Any = request.user
    customer_id: UUID = caller.subject
    return customer_id


class OrdersView(GenericAPIView[Any]):
    """My orders, the latest first, and placing one."""

    serializer_class = OrderSerializer
    pagination_class = CursorPage
    ordering = ("-id",)

    def get_permissions(self) -> list[BasePermission]:
        reading = self.request.method in SAFE_METHODS
        return [HasScope("orders:read")() if reading else HasScope("orders:write")()]

    @extend_schema(operation_id="orders_list", responses=OrderSerializer(many=True))
    def get(self, request: Request) -> Response:
        orders = queries.list_orders(customer_id=_customer(request), page=self.paginate_queryset)
        return self.get_paginated_response(self.get_serializer(orders, many=True).data)

    @extend_schema(operation_id="orders_place", request=NewOrderSerializer, responses={201: OrderSerializer})
    def post(self, request: Request) -> Response:
        wanted = NewOrderSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        quantities = {line["sku"]: line["quantity"] for line in wanted.validated_data["lines"]}
        customer_id = _customer(request)
        with transaction.atomic(using="orders"):
            placed = commands.place_order(customer_id=customer_id, quantities=quantities)
            order = queries.read_order(customer_id=customer_id, order_id=placed.id)
        location = f"{request.path}/{order.id}"
        return Response(self.get_serializer(order).data, status.HTTP_201_CREATED, headers={"Location": location})


class OneOrderView(GenericAPIView[Any]):
    """One of my orders."""

    permission_classes = [HasScope("orders:read")]
    serializer_class = OrderSerializer

    @extend_schema(operation_id="orders_read")
    def get(self, request: Request, order_id: UUID) -> Response:
        order = queries.read_order(customer_id=_customer(request), order_id=order_id)
        return Response(self.get_serializer(order).data)


class CancelView(GenericAPIView[Any]):
    """Calling one of my orders off. A second time is refused with 409 `order_not_cancellable`."""

    permission_classes = [HasScope("orders:write")]
    serializer_class = OrderSerializer

    @extend_schema(operation_id="orders_cancel", request=None, responses=OrderSerializer)
    def post(self, request: Request, order_id: UUID) -> Response:
        customer_id = _customer(request)
        with transaction.atomic(using="orders"):
            commands.cancel_order(customer_id=customer_id, order_id=order_id)
            order = queries.read_order(customer_id=customer_id, order_id=order_id)
        return Response(self.get_serializer(order).data)


urlpatterns = [
    path("", OrdersView.as_view(), name="orders-v1-orders"),
    path("/<uuid:order_id>", OneOrderView.as_view(), name="orders-v1-order"),
    path("/<uuid:order_id>/cancel", CancelView.as_view(), name="orders-v1-order-cancel"),
]
