"""Version 1 of the web's pages: the home page, the list of orders, an order, the checkout."""

from typing import Any
from uuid import UUID

from django.urls import path, reverse
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers, status
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from modules.web_bff import commands, queries
from modules.web_bff.models import OrderSummary
from pangaea.api.bodies import StrictCharField, StrictIntegerField, StrictSerializer, refuse_repeated
from pangaea.api.conditional_requests import conditional_read, tagged
from pangaea.api.fields import MoneySerializer, documented
from pangaea.api.filters import Filter, MomentField
from pangaea.api.idempotency import idempotent
from pangaea.api.pagination import CursorPage
from pangaea.identity.permissions import HasScope
from pangaea.identity.principal import Principal

MAX_LINES = 50
MAX_QUANTITY = 1_000
MAX_SKU = 64
MAX_COUNT = 2**63 - 1
"""The largest number of pieces that a column of this module holds."""


class SkuField(serializers.CharField):
    """The sku of a product in an answer."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        documented(self, minLength=1, examples=["MAP-PANGAEA"])


class ProductNameField(serializers.CharField):
    """The name of a product in an answer."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        documented(self, minLength=1, examples=["Wall map of Pangaea"])


class MeSerializer(serializers.Serializer[queries.Me]):
    user_id = serializers.UUIDField()
    email = documented(serializers.CharField(), examples=["ada@example.com"])
    full_name = documented(serializers.CharField(), examples=["Ada Lovelace"])
    active = serializers.BooleanField()


class ProductSerializer(serializers.Serializer[queries.Product]):
    sku = SkuField()
    name = ProductNameField()
    description = documented(serializers.CharField(), examples=["One landmass, 300 million years ago."])
    price = MoneySerializer()


class OrderCardSerializer(serializers.Serializer[queries.OrderCard]):
    id = serializers.UUIDField()
    status = serializers.ChoiceField(choices=OrderSummary.Status.values)
    product_names = documented(
        serializers.ListField(child=serializers.CharField(), help_text="as of the order, in its order"),
        examples=[["Wall map of Pangaea"]],
    )
    item_count = serializers.IntegerField(min_value=1, max_value=MAX_COUNT, help_text="the lines' quantities added up")
    total = MoneySerializer()
    placed_at = serializers.DateTimeField()


class HomeSerializer(serializers.Serializer[queries.HomePage]):
    me = MeSerializer(allow_null=True, help_text="null while the profile has not arrived")
    latest_orders = OrderCardSerializer(many=True, max_length=queries.LATEST_ORDERS)  # type: ignore[call-arg]  # DRF takes it
    catalogue = ProductSerializer(many=True, max_length=queries.TEASER_PRODUCTS)  # type: ignore[call-arg]  # DRF takes it


class LineSerializer(serializers.Serializer[queries.Line]):
    sku = SkuField()
    name = ProductNameField()
    quantity = serializers.IntegerField(min_value=1, max_value=MAX_COUNT)
    unit_price = MoneySerializer()


class MilestoneSerializer(serializers.Serializer[queries.Milestone]):
    at = serializers.DateTimeField()
    what = documented(serializers.CharField(), examples=["placed"])


class OrderSerializer(serializers.Serializer[queries.Order]):
    id = serializers.UUIDField()
    status = serializers.ChoiceField(choices=OrderSummary.Status.values)
    lines = LineSerializer(many=True)
    item_count = serializers.IntegerField(min_value=1, max_value=MAX_COUNT)
    total = MoneySerializer()
    placed_at = serializers.DateTimeField()
    cancelled_at = documented(serializers.DateTimeField(allow_null=True), examples=[None])
    timeline = MilestoneSerializer(many=True, help_text="the oldest first")


class CheckoutLineSerializer(StrictSerializer):
    sku = documented(StrictCharField(max_length=MAX_SKU, trim_whitespace=False), examples=["MAP-PANGAEA"])
    quantity = StrictIntegerField(min_value=1, max_value=MAX_QUANTITY)


class NewCheckoutSerializer(StrictSerializer):
    """The form of an order. `orders` decides whether the products exist and their stock is large enough."""

    lines = CheckoutLineSerializer(many=True, allow_empty=False, max_length=MAX_LINES)  # type: ignore[call-arg]  # DRF takes it

    def validate_lines(self, lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
        refuse_repeated(lines, "sku", remedy="Add the quantities up in one line.")
        return lines


class RefusalSerializer(serializers.Serializer[queries.Refusal]):
    code = documented(serializers.CharField(help_text="stable: branch on this"), examples=["out_of_stock"])
    detail = documented(serializers.CharField(help_text="a sentence for people"), examples=["MAP-PANGAEA is sold out."])


class CheckoutSerializer(serializers.Serializer[queries.CheckoutState]):
    id = serializers.UUIDField()
    status = serializers.ChoiceField(choices=[(each.value, each.value) for each in queries.CheckoutStatus])
    order_id = documented(serializers.UUIDField(allow_null=True, help_text="once it is placed"), examples=[None])
    refusal = documented(RefusalSerializer(allow_null=True, help_text="once it is refused"), examples=[None])


class HomeView(APIView):
    """My profile, my latest orders, and the first products of the catalogue."""

    permission_classes = [HasScope("web_bff:read")]

    @extend_schema(operation_id="web_bff_read_home", responses=HomeSerializer)
    @conditional_read
    def get(self, request: Request) -> Response:
        home = queries.read_home(customer_id=Principal.of(request).subject)
        return tagged(HomeSerializer(home).data)


class OrdersView(GenericAPIView[Any]):
    """My orders, the latest first."""

    permission_classes = [HasScope("web_bff:read")]
    serializer_class = OrderCardSerializer
    pagination_class = CursorPage
    links = {"get": {"web_bff_read_order": {"order_id": "$response.body#/results/0/id"}}}
    ordering = ("-placed_at", "-id")
    orderings = {"-placed": ("-placed_at", "-id"), "placed": ("placed_at", "id")}
    filters = {
        "status": Filter("status", serializers.ChoiceField(OrderSummary.Status.choices), "Only orders in this state."),
        "placed_since": Filter("placed_at__gte", MomentField(), "Only orders placed at this moment or later."),
        "placed_before": Filter("placed_at__lt", MomentField(), "Only orders placed before this moment."),
    }

    @extend_schema(operation_id="web_bff_list_orders", responses=OrderCardSerializer(many=True))
    def get(self, request: Request) -> Response:
        orders = queries.list_orders(customer_id=Principal.of(request).subject, page=self.paginate_queryset)
        return self.get_paginated_response(self.get_serializer(orders, many=True).data)


class OrderView(APIView):
    """One of my orders with its lines and its timeline."""

    permission_classes = [HasScope("web_bff:read")]
    problems = {"get": ("order_not_found",)}

    @extend_schema(operation_id="web_bff_read_order", responses=OrderSerializer)
    @conditional_read
    def get(self, request: Request, order_id: UUID) -> Response:
        order = queries.read_order(order_id=order_id, customer_id=Principal.of(request).subject)
        return tagged(OrderSerializer(order).data)


class CheckoutView(APIView):
    """Order as soon as possible. The answer's Location is the address of the result."""

    permission_classes = [HasScope("web_bff:checkout")]
    problems = {"post": ("checkout_not_found",)}
    links = {"post": {"web_bff_read_checkout": {"checkout_id": "$response.body#/id"}}}

    @extend_schema(
        operation_id="web_bff_start_checkout",
        request=NewCheckoutSerializer,
        responses={
            202: OpenApiResponse(CheckoutSerializer, description="Accepted and pending; Location is its address.")
        },
    )
    @idempotent(using="web_bff")
    def post(self, request: Request) -> Response:
        lines = NewCheckoutSerializer.read(request)["lines"]
        quantities = {line["sku"]: line["quantity"] for line in lines}
        checkout = commands.check_out(customer_id=Principal.of(request).subject, quantities=quantities)
        pending = queries.CheckoutState(id=checkout.id, status=queries.CheckoutStatus.PENDING)
        location = reverse("web-bff-v1-checkout-status", args=[checkout.id])
        return Response(CheckoutSerializer(pending).data, status.HTTP_202_ACCEPTED, headers={"Location": location})


class CheckoutStatusView(APIView):
    """The result of one of my checkouts: pending, then placed or refused."""

    permission_classes = [HasScope("web_bff:read")]
    problems = {"get": ("checkout_not_found",)}

    @extend_schema(operation_id="web_bff_read_checkout", responses=CheckoutSerializer)
    @conditional_read
    def get(self, request: Request, checkout_id: UUID) -> Response:
        checkout = queries.read_checkout(checkout_id=checkout_id, customer_id=Principal.of(request).subject)
        return tagged(CheckoutSerializer(checkout).data)


urlpatterns = [
    path("/home", HomeView.as_view(), name="web-bff-v1-home"),
    path("/orders", OrdersView.as_view(), name="web-bff-v1-orders"),
    path("/orders/<id:order_id>", OrderView.as_view(), name="web-bff-v1-order"),
    path("/checkout", CheckoutView.as_view(), name="web-bff-v1-checkout"),
    path("/checkouts/<id:checkout_id>", CheckoutStatusView.as_view(), name="web-bff-v1-checkout-status"),
]
